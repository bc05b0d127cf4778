# To cross-build on Debian or Ubuntu, with crossbuild-essential-arm64, libaio-dev:arm64 and liburing-dev:arm64:
#   cmake -S native -B build/aarch64 -DCMAKE_TOOLCHAIN_FILE="$PWD/native/aarch64.cmake"
# -DCMAKE_SYSROOT=DIR takes headers and libraries from a root of that architecture.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
