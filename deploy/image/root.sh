#!/usr/bin/env bash
# Completes an installed tree to a root file system that needs no distribution:
#   deploy/image/root.sh ROOT
# adds the libraries that its programs are linked with, a user, and how names are looked up.
set -euo pipefail
root=$1

# ldd names each library as the loader found it; the loader itself stands alone on its line.
for program in "$root"/usr/bin/*; do
  ldd "$program" | sed -nE 's/.* => (\/[^ ]+) .*/\1/p; s/^\s+(\/[^ ]+) .*/\1/p'
done | sort -u | while read -r library; do
  install -D "$library" "$root$library"
done

mkdir -p "$root/etc" "$root/tmp" "$root/models" "$root/sessions"
chmod 1777 "$root/tmp"
echo 'tlin:x:65532:65532:tlin:/sessions:/sbin/nologin' >"$root/etc/passwd"
echo 'tlin:x:65532:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
chown 65532:65532 "$root/sessions"
