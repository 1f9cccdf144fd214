"""Which way plain commands move files, one row per fact."""

from __future__ import annotations

import pytest

from addons.core.file_transfer import directions


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        # tar, whose options come in every shape
        ("tar cf - /etc", "out"),
        ("tar xmf - -C /tmp", "in"),
        ("tar -xmf -", "in"),
        ("tar -c -f - /etc", "out"),
        ("tar -f - -x", "in"),
        ("tar -f - -c", "out"),
        ("tar --create --file=- /etc", "out"),
        ("tar --file=- --extract", "in"),
        ("tar --get", "in"),
        ("tar rf x y", "out"),
        ("bsdtar -cf - /etc", "out"),
        ("tar tf x", ""),
        ("tar", ""),
        ("cpio -o", "out"),
        ("cpio --create", "out"),
        ("cpio -idm", "in"),
        ("cpio -t", ""),
        # programs that print files
        ("cat /etc/passwd", "out"),
        ("cat", ""),
        ("cat -", ""),
        ("base64 /etc/passwd", "out"),
        ("base64 -d", ""),
        ("head -c 10 /etc/passwd", "out"),
        ("gzip -c /etc/passwd", "out"),
        ("xz --stdout /etc/passwd", "out"),
        ("gzip /etc/passwd", ""),
        ("zcat /var/log/a.gz", "out"),
        # and those that write them
        ("dd if=/dev/sda", "out"),
        ("dd of=/tmp/x", "in"),
        ("dd if=/dev/zero of=/tmp/x", "in"),
        ("dd", ""),
        ("tee -a /tmp/x", "in"),
        ("tee", ""),
        ("cp /dev/stdin /tmp/x", "in"),
        ("install -m 755 /dev/fd/0 /tmp/x", "in"),
        ("cp /etc/passwd /dev/stdout", "out"),
        ("cp a b", ""),
        ("mv a b", ""),
        # over another connection, or as the far end of one
        ("scp -t /tmp", "in"),
        ("scp -f /etc/passwd", "out"),
        ("scp /etc/passwd host:", "out"),
        ("scp user@host:/x /tmp", "in"),
        ("scp [::1]:/x /tmp", "in"),
        ("scp host:/x other:/y", "in out"),
        ("scp a b", ""),
        ("rsync --server --sender -logDtpre.iLsfxC . /srv", "out"),
        ("rsync --server -logDtpre.iLsfxC . /srv", "in"),
        ("rsync -a /srv host:/srv", "out"),
        ("rsync -a /srv /tmp", ""),
        ("sftp-server", "in out"),
        ("sftp host", "in out"),
        ("sz /etc/passwd", "out"),
        ("rz", "in"),
        ("curl -T /etc/passwd https://x.test", "out"),
        ("curl -F file=@/etc/passwd https://x.test", "out"),
        ("curl -d @/etc/passwd https://x.test", "out"),
        ("curl -sSLo /tmp/x https://x.test", "in"),
        ("curl -O https://x.test/y", "in"),
        ("curl --output=/tmp/x https://x.test", "in"),
        ("curl -s -o /dev/null https://x.test", ""),
        ("curl https://x.test", ""),
        ("wget https://x.test", "in"),
        ("wget --post-file=/etc/passwd https://x.test", "in out"),
        # neither
        ("ls -l", ""),
    ],
)
def test_directions(command: str, expected: str) -> None:
    program, *arguments = command.split()
    assert sorted(directions(program, arguments)) == expected.split()
