// The [read] settings of the drive that a path is on: go run aio_settings.go PATH [SYS [PROFILES]]
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

type Settings struct {
	BlockSize, QueueDepth, IOParallelism int
	OverlapEvents, SingleSubmit          bool
}

var profile = regexp.MustCompile(`^#.*\nschema = [12]\n(?:.*\n)*?\[device\]\nid = "(.*)"\n(?:.*\n)*?\[read\]\n` +
	`block_size = (\d+)\nqueue_depth = (\d+)\nio_parallelism = (\d+)\n` +
	`overlap_events = (true|false)\nsingle_submit = (true|false)`)

func settings(path, sys, profiles string) (s Settings) {
	s = Settings{BlockSize: 1048576, QueueDepth: 8, IOParallelism: 1, OverlapEvents: true}
	var status syscall.Stat_t
	if syscall.Stat(path, &status) != nil {
		return s
	}
	number := uint64(status.Dev)
	disk := fmt.Sprintf("%s/dev/block/%d:%d", sys, number>>8&0xfff, number&0xff|number>>12&0xfff00)
	if _, err := os.Stat(disk + "/partition"); err == nil {
		disk += "/.." // the kernel follows the link first: the partition's disk (filepath.Join would not)
	}
	wwid, err := os.ReadFile(disk + "/wwid")
	if err != nil {
		return s
	}
	files, _ := filepath.Glob(profiles + "/*.toml")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		found := profile.FindStringSubmatch(string(text))
		if found != nil && found[1] == strings.TrimSpace(string(wwid)) {
			s.BlockSize, _ = strconv.Atoi(found[2])
			s.QueueDepth, _ = strconv.Atoi(found[3])
			s.IOParallelism, _ = strconv.Atoi(found[4])
			s.OverlapEvents, s.SingleSubmit = found[5] == "true", found[6] == "true"
			break
		}
	}
	return s
}

func main() {
	words := append(os.Args[1:], []string{".", "/sys", "/etc/aio-tuned"}[len(os.Args)-1:]...)
	s := settings(words[0], words[1], words[2])
	fmt.Printf("block_size=%d\nqueue_depth=%d\nio_parallelism=%d\n", s.BlockSize, s.QueueDepth, s.IOParallelism)
	fmt.Printf("overlap_events=%t\nsingle_submit=%t\n", s.OverlapEvents, s.SingleSubmit)
}
