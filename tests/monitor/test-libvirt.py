#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt's capability probe (virsh domcapabilities --emulatorbin) takes this program for an emulator.
Skipped (77) where libvirt is not installed.

usage: test-libvirt.py METAPHRASE"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

SKIP = 77
exe = os.path.abspath(sys.argv[1])
if not shutil.which('virsh') or not shutil.which('libvirtd'):
    print('libvirt is not installed')
    sys.exit(SKIP)

# The session daemon belongs to a user: root becomes nobody for it.
as_user = []
if os.geteuid() == 0:
    if not shutil.which('setpriv'):
        sys.exit(SKIP)
    as_user = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
with tempfile.TemporaryDirectory(prefix='lv') as d:
    run, home = os.path.join(d, 'run'), os.path.join(d, 'home')
    os.mkdir(run, 0o700)
    os.mkdir(home, 0o700)
    if as_user:
        os.chmod(d, 0o755)
        for path in run, home:
            os.chown(path, 65534, 65534)
        if subprocess.run(as_user + ['test', '-x', exe]).returncode != 0:
            print('nobody may not run', exe)
            sys.exit(SKIP)
    env = dict(os.environ, HOME=home, XDG_RUNTIME_DIR=run, XDG_CONFIG_HOME=home + '/config',
               XDG_CACHE_HOME=home + '/cache')
    daemon = subprocess.Popen(as_user + ['libvirtd', '--timeout', '60'], env=env,
                              stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + 20
        while not os.path.exists(run + '/libvirt/libvirt-sock') and time.monotonic() < end:
            if daemon.poll() is not None:
                print('libvirtd does not start here:', daemon.stderr.read().decode()[-500:])
                sys.exit(SKIP)
            time.sleep(0.05)
        p = subprocess.run(as_user + ['virsh', '-c', 'qemu:///session', 'domcapabilities',
                                      '--emulatorbin', exe], env=env, capture_output=True,
                           text=True, timeout=60)
    finally:
        daemon.terminate()
        daemon.wait(20)
print(p.stderr)
assert p.returncode == 0, p
for expected in ['<machine>pc-i440fx-7.2</machine>', '<arch>x86_64</arch>', "<mode name='maximum'",
                 "<path>%s</path>" % exe]:
    assert expected in p.stdout, '%s is not in:\n%s' % (expected, p.stdout)
print('virsh domcapabilities names', exe)
