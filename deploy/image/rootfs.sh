#!/bin/sh
# Makes the root filesystem of the image: the program, the libraries that it is linked with, and a user.
# There is no shell and nothing else to run. The Dockerfile runs this in its last building stage, and
# ./test --deploy runs the same script and boots what it has made.
#
#   deploy/image/rootfs.sh PROGRAM FOLDER
set -eu
program=$1
root=$2
mkdir -p "$root/usr/bin" "$root/etc/floodmark" "$root/var/lib/floodmark" "$root/run/secrets" \
  "$root/tmp" "$root/proc" "$root/dev"
install -m 0755 "$program" "$root/usr/bin/floodmark"
# Each library under the path at which the linker looks for it.
ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
# Names are looked up through DNS and /etc/hosts; glibc loads these by itself.
for library in $(ldd "$program" | grep -o '/[^ ]*libc\.so\.6'); do
  for module in libnss_dns.so.2 libnss_files.so.2 libresolv.so.2; do
    if [ -e "$(dirname "$library")/$module" ]; then
      cp -L "$(dirname "$library")/$module" "$root$(dirname "$library")/$module"
    fi
  done
done
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
printf 'floodmark:x:65532:65532::/var/lib/floodmark:/nonexistent\n' >"$root/etc/passwd"
printf 'floodmark:x:65532:\n' >"$root/etc/group"
chmod 1777 "$root/tmp"
chmod 0700 "$root/var/lib/floodmark"
chown 65532:65532 "$root/var/lib/floodmark"
