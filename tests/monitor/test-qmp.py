#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""QMP over real sockets: every command and event, the schema against what is really answered, bad
input, several monitors, and a session compared with tests/golden/qmp-session.txt.

    test-qmp.py METAPHRASE SOURCE-DIR        GOLDEN_BLESS=1 rewrites the golden text
"""
import array
import base64
import json
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

EXE, SOURCE = sys.argv[1], sys.argv[2]
TIMEOUT = 20 * float(os.environ.get("METAPHRASE_TEST_SLOWNESS", "1"))
failures = []


def check(ok, what):
    if not ok:
        failures.append(what)
        print('FAILED:', what)


class Client:
    """One connection to a QMP monitor."""

    def __init__(self, sock, negotiate=True):
        self.sock, self.buf, self.events, self.schema = sock, b'', [], None
        self.sock.settimeout(TIMEOUT)
        self.greeting = self.message()
        if negotiate:
            check(self.run('qmp_capabilities') == {}, 'negotiation')

    def message(self):
        """The next message, or None at the end."""
        while b'\r\n' not in self.buf:
            data = self.sock.recv(1 << 16)
            if not data:
                return None
            self.buf += data
        line, self.buf = self.buf.split(b'\r\n', 1)
        return json.loads(line)

    def send(self, data, fds=()):
        if isinstance(data, dict):
            data = json.dumps(data) + '\n'
        if isinstance(data, str):
            data = data.encode()
        if fds:
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))]
            self.sock.sendmsg([data], control)
        else:
            self.sock.sendall(data)

    def answer(self):
        """The next message that is no event; events are kept."""
        while True:
            m = self.message()
            if m is None or 'event' not in m:
                return m
            self.check_event(m)
            self.events.append(m)

    def event(self, name):
        """Wait for an event; those before it stay in self.events."""
        for e in list(self.events):
            if e['event'] == name:
                self.events.remove(e)
                return e
        while True:
            m = self.message()
            if m is None:
                return None
            if 'event' in m:
                self.check_event(m)
                if m['event'] == name:
                    return m
                self.events.append(m)

    def check_event(self, m):
        stamp = m['timestamp']
        check(abs(stamp['seconds'] - time.time()) < 120 and 0 <= stamp['microseconds'] < 1000000,
              'timestamp of %s' % m)
        if self.schema is not None:
            self.schema.check_event(m)

    def run(self, command, fds=(), **arguments):
        """What the command returns; errors become ('class', 'text')."""
        request = {'execute': command, 'id': ['id', command, {'n': 1}]}
        if arguments:
            request['arguments'] = arguments
        self.send(request, fds)
        m = self.answer()
        if m is None:
            raise EOFError(command)
        check(m.get('id') == request['id'], 'id of %s: %s' % (command, m))
        if 'error' in m:
            return (m['error']['class'], m['error']['desc'])
        if self.schema is not None:
            self.schema.check_return(command, m['return'])
        return m['return']


class Schema:
    """query-qmp-schema's answer; knows whether values fit it."""

    def __init__(self, entities):
        self.all = {(e['name'], e['meta-type'] in ('command', 'event')): e for e in entities}
        check(len(self.all) == len(entities), 'names in the schema are unique')
        self.commands = {e['name']: e for e in entities if e['meta-type'] == 'command'}
        self.events = {e['name']: e for e in entities if e['meta-type'] == 'event'}
        self.seen = set()
        for e in entities:
            for ref in re.findall(r'"(?:element-type|arg-type|ret-type|type)": "([^"]+)"',
                                  json.dumps(e)):
                check((ref, False) in self.all, 'type %s of %s is in the schema' % (ref, e['name']))

    def members(self, t, value):
        """All members an object of type t with these values may have: name -> (type, optional)."""
        found = {m['name']: (m['type'], 'default' in m) for m in t['members']}
        for v in t.get('variants', []):
            if value.get(t['tag']) == v['case']:
                found.update(self.members(self.all[v['type'], False], value))
        return found

    def fits(self, name, v, where):
        t = self.all[name, False]
        kind = t['meta-type']
        if kind == 'builtin':
            ok = {'string': isinstance(v, str), 'boolean': isinstance(v, bool),
                  'int': isinstance(v, int) and not isinstance(v, bool),
                  'number': isinstance(v, (int, float)) and not isinstance(v, bool),
                  'null': v is None, 'value': True}[t['json-type']]
            check(ok, '%s is no %s: %r' % (where, name, v))
        elif kind == 'enum':
            check(v in t['values'] and [m['name'] for m in t['members']] == t['values'],
                  '%s: %r is no %s' % (where, v, name))
        elif kind == 'array':
            check(isinstance(v, list), '%s is no list' % where)
            for i, element in enumerate(v):
                self.fits(t['element-type'], element, '%s[%d]' % (where, i))
        elif kind == 'alternate':
            check(True, where)
        else:
            members = self.members(t, v)
            for key in v:
                check(key in members, '%s.%s is not in the schema' % (where, key))
            for key, (sub, optional) in members.items():
                if key in v:
                    self.fits(sub, v[key], where + '.' + key)
                else:
                    check(optional, '%s.%s is missing' % (where, key))

    def check_return(self, command, value):
        self.seen.add(command)
        self.fits(self.commands[command]['ret-type'], value, command)

    def check_event(self, m):
        self.seen.add(m['event'])
        check(m['event'] in self.events, 'event %s is in the schema' % m['event'])
        self.fits(self.events[m['event']]['arg-type'], m.get('data', {}), m['event'])


class Machine:
    """A process with a QMP monitor on a unix socket (or several)."""

    def __init__(self, *args, monitors=1, name='none', before=None):
        self.dir = tempfile.mkdtemp(prefix='qmp')
        self.paths = [os.path.join(self.dir, 'qmp%d' % i) for i in range(monitors)]
        argv = [EXE, '-display', 'none', '-nodefaults', '-machine', name, '-m', '16',
                '-accel', 'interpret']
        for p in self.paths:
            argv += ['-qmp', 'unix:%s,server=on,wait=off' % p]
        self.process = subprocess.Popen(argv + list(args), stdin=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, preexec_fn=before)
        deadline = time.monotonic() + TIMEOUT
        while not all(os.path.exists(p) for p in self.paths):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError('no socket: %s' % self.process.stderr.read())
            time.sleep(0.01)

    def socket(self, i=0):
        deadline = time.monotonic() + TIMEOUT
        while True:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                s.connect(self.paths[i])
                return s
            except ConnectionRefusedError:     # bound, and not listening yet
                s.close()
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def client(self, i=0, **kw):
        return Client(self.socket(i), **kw)

    def file(self, name):
        return os.path.join(self.dir, name)

    def end(self):
        """The exit status."""
        try:
            return self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            check(False, 'the process ends')
            return None
        finally:
            self.process.stderr.close()

    def quit(self):
        c = self.client()
        check(c.run('quit') == {}, 'quit')
        check(c.event('SHUTDOWN')['data'] == {'guest': False, 'reason': 'host-qmp-quit'},
              'SHUTDOWN comes before the answer')
        check(self.end() == 0, 'quit ends with status 0')


# -- Talking ---------------------------------------------------------------------------------------

def test_negotiation():
    m = Machine(monitors=2)
    c = m.client(negotiate=False)
    version = c.greeting['QMP']['version']
    check(version['qemu']['major'] == 7 and 'Metaphrase' in version['package'], 'greeting')
    check(c.greeting['QMP']['capabilities'] == [], 'no capability is offered that is not there')
    check(c.run('query-status')[0] == 'CommandNotFound', 'no commands before negotiation')
    check(c.run('qmp_capabilities', enable=['oob']) ==
          ('GenericError', "Parameter 'enable[0]' does not accept value 'oob'"), 'no oob')
    check(c.run('qmp_capabilities') == {}, 'negotiation')
    check(c.run('qmp_capabilities')[0] == 'CommandNotFound', 'negotiation is over')
    check(c.run('query-version') == version, 'query-version is the greeting')
    other = m.client(1, negotiate=False)             # each monitor for itself
    check(other.run('query-status')[0] == 'CommandNotFound', 'the other has not negotiated')
    c.run('cont')
    check(c.event('RESUME') is not None, 'events for who has negotiated')
    check(other.run('qmp_capabilities') == {} and other.events == [], 'and not for the other')
    c.run('stop')
    check(other.event('STOP') is not None, 'events for both')
    c.sock.close()
    again = m.client(0, negotiate=False)             # a new client starts anew
    check(again.run('query-status')[0] == 'CommandNotFound', 'a new client negotiates anew')
    again.sock.close()
    other.sock.close()
    m.quit()


def test_input():
    m = Machine()
    c = m.client()
    c.send('{"execute":"query-status"}{"execute":"query-name","id":18446744073709551615} '
           "{'execute': 'query-kvm', 'id': null}")   # no newline at the end
    check('return' in c.answer(), 'first of three on a line')
    check(c.answer() == {'return': {}, 'id': 18446744073709551615}, 'second of three on a line')
    check('return' in c.answer(), 'third of three on a line')
    for piece in ['{"exec', 'ute":\n\n"query', '-name"', '}']:
        c.send(piece)
        time.sleep(0.01)
    check(c.answer() == {'return': {}}, 'a value in pieces')
    for i in ['1', '-1.5', '"x"', '[]', '{"a": [null]}', 'true']:
        c.send('{"execute":"query-name","id":%s}' % i)
        check(c.answer()['id'] == json.loads(i), 'id %s' % i)
    bad = [('[1]', 'QMP input must be a JSON object'), ('"x"', 'QMP input must be a JSON object'),
           ('zz\n', "JSON parse error, invalid keyword 'zz'"),
           ('{"execute":1}', "QMP input member 'execute' must be a string"),
           ('{"execute":"stop","arguments":3}', "QMP input member 'arguments' must be an object"),
           ('{"execute":"stop","foo":3}', "QMP input member 'foo' is unexpected"),
           ('{"exec-oob":"stop"}', "QMP input member 'exec-oob' is unexpected"),
           ('{}', "QMP input lacks member 'execute'"), ('{"a" 3}', None), ('}', None),
           ('{"execute":"x\ny"}\n', None), (b'\x00\x01\x02\xff\xfe\n', None),
           (b'{"execute":"\xff\xff"}', None), ('[' * 100000 + '\n', None),
           ('{"execute":"' + 'x' * 3000000 + '"}\n', None), ('[' + '{},' * 200000 + '\n', None)]
    for text, error in bad:
        c.send(text)
        a = c.answer()
        check(a['error']['class'] == 'GenericError' and
              (error is None or a['error']['desc'] == error), 'error for %r: %s' % (text[:40], a))
        c.send('{"execute":"query-name","id":"after"}')
        a = c.answer()
        while 'error' in a:                          # some texts make two errors
            a = c.answer()
        check(a == {'return': {}, 'id': 'after'}, 'life after %r' % text[:40])
    c.send('{"execute":"nonsense"}')
    check(c.answer()['error'] == {'class': 'CommandNotFound',
                                  'desc': 'The command nonsense has not been found'}, 'no command')
    c.send('{"execute":"query-name\\u0000"}')
    check(c.answer()['error']['class'] == 'CommandNotFound', 'NUL in a name')
    c.send('{"execute": "query-')
    c.sock.close()                                   # ends within a value
    m.client().sock.close()
    m.quit()


def test_flood_of_answers():
    """A client that reads late gets every answer whole."""
    m = Machine()
    c = m.client()
    n = 150
    c.sock.settimeout(0.3)
    request = b''.join(b'{"execute":"query-qmp-schema","id":%d}' % i for i in range(n))
    sent = 0
    try:
        while sent < len(request):
            sent += c.sock.send(request[sent:])
    except socket.timeout:
        pass
    c.sock.settimeout(TIMEOUT)
    for i in range(n):
        a = c.answer()
        if sent < len(request):
            sent += c.sock.send(request[sent:])
        if a is None or a.get('id') != i:
            check(False, 'answer %d of a flood' % i)
            break
    c.sock.close()
    m.quit()


def test_random_bytes():
    m = Machine()
    state = 12345
    for _ in range(20):
        data = bytearray()
        for _ in range(2000):
            state = (state * 1103515245 + 12345) & 0x7fffffff
            data.append(state >> 16 & 0xff)
        c = m.client(negotiate=False)
        try:
            c.send(bytes(data) + b'\n{"execute":"qmp_capabilities","id":"end"}')
            a = c.answer()
            while a.get('id') != 'end':
                a = c.answer()
            check('return' in a, 'life after random bytes')
        except (socket.timeout, json.JSONDecodeError, AttributeError) as e:
            check(False, 'random bytes: %r' % e)
        c.sock.close()
    m.quit()


def test_lines():
    """stdio with three objects on one line and the end of input; -mon; TCP; pretty."""
    p = subprocess.run([EXE, '-display', 'none', '-machine', 'none', '-accel', 'interpret',
                        '-qmp', 'stdio'],
                       input=b'{"execute":"qmp_capabilities"} {"execute":"query-kvm"} '
                             b'{"execute":"quit"}', stdout=subprocess.PIPE, timeout=TIMEOUT)
    lines = p.stdout.decode().split('\r\n')
    check(p.returncode == 0 and '"QMP"' in lines[0] and lines[1] == '{"return": {}}' and
          '"enabled": false' in lines[2] and '"SHUTDOWN"' in lines[3] and
          lines[4] == '{"return": {}}', 'probe on stdio: %s' % lines)
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    m = Machine('-chardev', 'socket,id=c,host=127.0.0.1,port=%d,server=on,wait=off' % port,
                '-mon', 'chardev=c,mode=control,pretty=on')
    s = socket.create_connection(('127.0.0.1', port))
    text = s.recv(4096).decode()
    check(text.startswith('{\r\n    "QMP"') or text.startswith('{\n    "QMP"'), 'pretty: %r' % text)
    s.close()
    m.quit()
    for argv, error in [(['-mon', 'chardev=x,mode=control'], "there is no chardev 'x'"),
                        (['-mon', 'mode=control'], 'chardev=ID is needed'),
                        (['-chardev', 'null,id=n', '-mon', 'chardev=n,mode=foo'], 'mode'),
                        (['-qmp', 'mon:stdio'], 'QMP has a line to itself'),
                        (['-qmp', 'stdio', '-daemonize'], '-daemonize')]:
        p = subprocess.run([EXE, '-machine', 'none', '-display', 'none'] + argv,
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT)
        check(p.returncode == 1 and error in p.stderr.decode() and
              p.stderr.count(b'\n') == 1, '%s: %s' % (argv, p.stderr))


def test_daemonize():
    d = tempfile.mkdtemp(prefix='qmp')
    path, pidfile = os.path.join(d, 's'), os.path.join(d, 'pid')
    p = subprocess.run([EXE, '-S', '-no-user-config', '-nodefaults', '-nographic', '-machine',
                        'none,accel=interpret', '-qmp', 'unix:%s,server=on,wait=off' % path,
                        '-pidfile', pidfile, '-daemonize'], capture_output=True, timeout=TIMEOUT)
    check(p.returncode == 0, '-daemonize: %s' % p)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(path)                                  # it listens by now
    c = Client(s)
    pid = int(open(pidfile).read())
    check(os.path.exists('/proc/%d' % pid), 'the pid file names the process')
    check(c.run('query-cpus-fast') == [] and c.run('query-target') == {'arch': 'x86_64'},
          'machine none answers')
    c.run('quit')
    check(c.answer() is None, 'the end')
    deadline = time.monotonic() + TIMEOUT
    while os.path.exists(pidfile) and time.monotonic() < deadline:
        time.sleep(0.01)
    check(not os.path.exists(pidfile), 'the pid file goes')


# -- Every command ---------------------------------------------------------------------------------

def test_commands():
    with tempfile.NamedTemporaryFile(suffix='.img') as disk:
        disk.truncate(1 << 20)
        commands(disk.name)


def commands(disk):
    m = Machine('-S', '-smp', '2', '-name', 'guest=n', '-uuid',
                '12345678-1234-1234-1234-123456789abc', '-kernel', stub_kernel(),
                '-drive', 'file=%s,format=raw,if=virtio,id=d0' % disk,
                '-chardev', 'ringbuf,id=ring', '-object', 'rng-random,id=rng0',
                '-object', 'iothread,id=io0',
                '-device', 'virtio-rng-pci,rng=rng0,id=rng-dev', name='pc')
    c = m.client()
    schema = c.schema = Schema(c.run('query-qmp-schema'))
    schema.check_return('query-qmp-schema', c.run('query-qmp-schema'))
    schema.seen.add('qmp_capabilities')
    listed = {x['name'] for x in c.run('query-commands')}
    check(listed == set(schema.commands), 'query-commands is the schema')
    check({x['name'] for x in c.run('query-events')} == set(schema.events), 'query-events too')
    identity_commands(c)
    object_commands(c)
    memory_commands(c, m)
    chardev_commands(c, m)
    fd_commands(c, m)
    argument_errors(c)
    run_commands(c)
    check(c.run('quit') == {}, 'quit')
    check(c.event('SHUTDOWN') is not None, 'SHUTDOWN')
    check(m.end() == 0, 'status 0')
    untried = set(schema.commands) - schema.seen
    check(not untried, 'commands without a test: %s' % sorted(untried))


def identity_commands(c):
    check(c.run('query-name') == {'name': 'n'}, 'name')
    check(c.run('query-uuid') == {'UUID': '12345678-1234-1234-1234-123456789abc'}, 'uuid')
    check(c.run('query-kvm')['enabled'] is False, 'kvm')
    check(c.run('query-target') == {'arch': 'x86_64'}, 'target')
    c.run('query-version')
    check([a['name'] for a in c.run('x-query-accel') if a['enabled']] == ['interpret'], 'engine')
    c.run('x-accel-set', name='translate')
    check('translate' in [a['name'] for a in c.run('x-query-accel') if a['enabled']], 'another engine')
    c.run('x-accel-set', name='interpret')
    machines = c.run('query-machines')
    check([x['name'] for x in machines if x.get('is-default')] == ['pc-i440fx-7.2'], 'machines')
    check(c.run('query-memory-size-summary')['base-memory'] == 16 << 20, 'memory')
    cpus = c.run('query-cpus-fast')
    check([x['cpu-index'] for x in cpus] == [0, 1] and
          all(os.path.exists('/proc/%d' % x['thread-id']) for x in cpus), 'threads of CPUs')
    check(len(c.run('query-hotpluggable-cpus')) == 2, 'CPU places')
    names = [x['name'] for x in c.run('query-cpu-definitions')]
    check('max' in names and 'qemu64' in names, 'CPU models')
    full = c.run('query-cpu-model-expansion', type='full', model={'name': 'qemu64'})
    check(full['model']['props']['lm'] is True and full['model']['props']['avx2'] is False, 'full')
    less = c.run('query-cpu-model-expansion', type='static',
                 model={'name': 'qemu64', 'props': {'nx': False}})
    check('nx' not in less['model']['props'] and less['model']['props']['lm'], 'static')
    check(c.run('query-cpu-model-expansion', type='full', model={'name': 'zz'}) ==
          ('GenericError', "CPU model 'zz' not found"), 'unknown model')
    block = c.run('query-block')
    check(block[0]['device'] == 'd0' and
          block[0]['inserted']['image']['virtual-size'] == 1 << 20, 'query-block')
    check(c.run('query-blockstats')[0]['stats']['wr_operations'] == 0, 'query-blockstats')
    check(len(c.run('query-named-block-nodes')) == 1, 'query-named-block-nodes')
    pci = c.run('query-pci')[0]['devices']
    check([d['qdev_id'] for d in pci if d['qdev_id']] == ['rng-dev'], 'query-pci')
    options = c.run('query-command-line-options')
    by_name = {o['option']: {p['name']: p['type'] for p in o['parameters']} for o in options}
    check(by_name['machine']['accel'] == 'string' and by_name['drive']['readonly'] == 'boolean' and
          by_name['memory']['size'] == 'size' and by_name['smp-opts']['cpus'] == 'number',
          'query-command-line-options: %s' % by_name)
    check(len(c.run('query-command-line-options', option='machine')) == 1, 'one option')
    check(c.run('query-command-line-options', option='zz') ==
          ('GenericError', 'invalid option name: zz'), 'no such option')
    check(c.run('query-migrate') == {}, 'nothing was sent')
    check(c.run('migrate-set-capabilities', capabilities=[{'capability': 'events', 'state': True}]) == {}, 'abilities')
    check(c.run('query-migrate-capabilities') == [{'capability': 'events', 'state': True}], 'abilities')
    check(c.run('migrate', uri='ssh:there')[0] == 'GenericError', 'not a URI')
    check(c.run('migrate-incoming', uri='file:x') ==
          ('GenericError', "'-incoming' was not specified on the command line"), 'migrate-incoming')
    for empty in ['query-tpm-models', 'query-tpm-types', 'query-jobs',
                  'query-block-jobs', 'query-memory-devices']:
        check(c.run(empty) == [], empty)
    threads = c.run('query-iothreads')
    check([t['id'] for t in threads] == ['io0'] and
          os.path.exists('/proc/%d' % threads[0]['thread-id']), 'query-iothreads')
    check(c.run('query-current-machine') == {'wakeup-suspend-support': False}, 'query-current-machine')
    check(c.run('trace-event-set-state', name='port_unassigned_read', enable=True) == {}, 'trace on')
    check(c.run('trace-event-get-state', name='port_unassigned_*') ==
          [{'name': 'port_unassigned_read', 'state': 'enabled'},
           {'name': 'port_unassigned_write', 'state': 'disabled'}], 'trace-event-get-state')
    check(c.run('trace-event-set-state', name='port_*', enable=False) == {}, 'trace off')
    check(c.run('trace-event-get-state', name='zz') == ('GenericError', 'unknown event "zz"'),
          'no such event')
    check(c.run('device_add', driver='virtio-rng-pci') ==
          ('CommandNotFound', 'The command device_add has not been found: not supported: '
           'plugging devices while the machine runs'), 'what is not built is refused by name')


def object_commands(c):
    types = c.run('qom-list-types')
    names = {t['name'] for t in types}
    check({'max-x86_64-cpu', 'virtio-blk-pci', 'interpret-accel', 'pc-i440fx-7.2-machine'} <= names,
          'types')
    check(not any(t.get('abstract') for t in types), 'abstract types only when asked for')
    check('device' in {t['name'] for t in c.run('qom-list-types', abstract=True)}, 'abstract types')
    check({t['name'] for t in c.run('qom-list-types', implements='rng-backend')} == {'rng-random'},
          'implements')
    help_text = subprocess.run([EXE, '-device', 'help'], capture_output=True).stdout.decode()
    devices = set(re.findall(r'name "([^"]+)"', help_text))
    check(devices == {t['name'] for t in c.run('qom-list-types', implements='device')
                      if 'x86_64-cpu' not in t['name']}, '-device help is qom-list-types')
    check_device_properties(c, sorted(devices))
    check(c.run('device-list-properties', typename='zz') ==
          ('DeviceNotFound', "Device 'zz' not found"), 'unknown device')
    check(c.run('device-list-properties', typename='device')[0] == 'GenericError', 'abstract')
    check(c.run('qom-list-properties', typename='zz') ==
          ('DeviceNotFound', "Class 'zz' not found"), 'unknown class')
    check(c.run('qom-list-properties', typename='rng-random')[0]['name'] == 'filename', 'class')
    walk(c, '/', 0)
    cpu = '/machine/unattached/device[0]'
    check(c.run('qom-get', path=cpu, property='lm') is True, 'a feature of a CPU')
    check(c.run('qom-get', path='/machine', property='type') == 'pc-i440fx-7.2-machine', 'type')
    check(c.run('qom-get', path='/machine/peripheral/rng-dev', property='realized') is True, 'dev')
    check(c.run('qom-get', path='/zz', property='x')[0] == 'DeviceNotFound', 'no path')
    check(c.run('qom-get', path='/machine', property='zz') ==
          ('GenericError', "Property 'pc-i440fx-7.2-machine.zz' not found"), 'no property')
    check(c.run('object-add', **{'qom-type': 'rng-random', 'id': 'r1'}) == {}, 'object-add')
    check(c.run('object-add', **{'qom-type': 'rng-random', 'id': 'r1'})[0] == 'GenericError', 'twice')
    check(c.run('object-add', **{'qom-type': 'rng-random', 'id': 'r2', 'filename': '/zz'}) ==
          ('GenericError', "Could not open '/zz': No such file or directory"), 'no file')
    check(c.run('qom-get', path='/objects/r1', property='filename') == '/dev/urandom', 'object')
    check(c.run('object-del', id='r1') == {} and
          c.run('object-del', id='r1') == ('GenericError', "object 'r1' not found"), 'object-del')
    check('in use' in c.run('object-del', id='rng0')[1], 'an object in use')


def check_device_properties(c, devices):
    """The properties that are listed are those that the code takes."""
    listed = set()
    for d in devices:
        names = [p['name'] for p in c.run('device-list-properties', typename=d)]
        check(len(names) == len(set(names)), 'properties of %s' % d)
        listed |= set(names)
    code = open(os.path.join(SOURCE, 'monitor/device-table.c')).read()
    taken = set(re.findall(r'opt_take\w*\((?:d->)?props, "([^"]+)"', code))
    check(listed == taken, 'properties listed, but not taken: %s; taken, but not listed: %s' %
          (sorted(listed - taken), sorted(taken - listed)))


def walk(c, path, depth):
    """Every child can be listed, every property read."""
    for p in c.run('qom-list', path=path):
        value = c.run('qom-get', path=path, property=p['name'])
        check(not isinstance(value, tuple), 'qom-get %s %s: %s' % (path, p['name'], value))
        if p['type'].startswith('child<') and depth < 5:
            child = path.rstrip('/') + '/' + p['name']
            check(value == child, 'path of %s' % child)
            if not re.search(r'device\[[1-9]', child):
                walk(c, child, depth + 1)
    check(c.run('qom-list', path='/zz')[0] == 'DeviceNotFound', 'qom-list /zz')


def memory_commands(c, m):
    f = m.file('mem')
    check(c.run('pmemsave', val=0x100000, size=4096, filename=f) == {}, 'pmemsave')
    check(len(open(f, 'rb').read()) == 4096, 'pmemsave writes')
    check(c.run('memsave', **{'val': 0x100000, 'size': 100, 'filename': f, 'cpu-index': 0}) == {},
          'memsave')
    check(len(open(f, 'rb').read()) == 100, 'memsave writes')
    check(c.run('memsave', **{'val': 0, 'size': 1, 'filename': f, 'cpu-index': 2}) ==
          ('GenericError', "Parameter 'cpu-index' expects a CPU number"), 'no such CPU')
    check('Could not open' in c.run('pmemsave', val=0, size=1, filename='/zz/y')[1], 'no file')
    check(c.run('pmemsave', val=0, size=1 << 62, filename=f)[0] == 'GenericError', 'no such size')
    core = m.file('core')
    check(c.run('dump-guest-memory', paging=False, protocol='file:' + core) == {}, 'dump')
    data = open(core, 'rb').read()
    check(data[:4] == b'\x7fELF' and data[16] == 4, 'the dump is a core file')
    phoff, phnum = struct.unpack_from('<Q', data, 32)[0], struct.unpack_from('<H', data, 56)[0]
    loads = [struct.unpack_from('<IIQQQQQQ', data, phoff + i * 56) for i in range(phnum)]
    ram = [(h[4], h[5]) for h in loads if h[0] == 1]
    check(ram[0] == (0, 0xa0000) and sum(ram[-1]) == 16 << 20, 'RAM in the dump: %s' % ram)
    check(sum(h[5] for h in loads) + phoff + phnum * 56 == len(data), 'length of the dump')
    check(c.run('dump-guest-memory', paging=True, protocol='file:' + core)[0] == 'GenericError',
          'paging=true is refused')
    check(c.run('dump-guest-memory', paging=False, protocol='zz')[0] == 'GenericError', 'protocol')
    check(c.run('query-dump-guest-memory-capability') == {'formats': ['elf']}, 'formats')


def chardev_commands(c, m):
    labels = {x['label']: x for x in c.run('query-chardev')}
    check(labels['compat_monitor0']['frontend-open'] and not labels['ring']['frontend-open'],
          'query-chardev')
    text = base64.b64encode(b'\0\1hello').decode()
    check(c.run('ringbuf-write', device='ring', data=text, format='base64') == {}, 'ringbuf-write')
    check(c.run('ringbuf-read', device='ring', size=2, format='base64') ==
          base64.b64encode(b'\0\1').decode(), 'ringbuf-read')
    check(c.run('ringbuf-read', device='ring', size=99) == 'hello', 'the rest')
    check(c.run('ringbuf-read', device='compat_monitor0', size=1)[0] == 'GenericError', 'no ring')
    sock = m.file('added')
    kinds = {
        'null': {}, 'pty': {}, 'ringbuf': {'size': 1024}, 'file': {'out': m.file('out')},
        'socket': {'addr': {'type': 'unix', 'data': {'path': sock}}},
    }
    os.mkfifo(m.file('fifo'))
    kinds['pipe'] = {'device': m.file('fifo')}
    for kind, data in kinds.items():
        r = c.run('chardev-add', id=kind, backend={'type': kind, 'data': data})
        check(isinstance(r, dict) and ('pty' in r) == (kind == 'pty'), 'add %s: %s' % (kind, r))
    check(c.run('chardev-add', id='null', backend={'type': 'null', 'data': {}}) ==
          ('GenericError', "Chardev with id 'null' already exists"), 'twice')
    check(os.path.exists(sock), 'the socket listens')
    inet = {'addr': {'type': 'inet', 'data': {'host': '127.0.0.1', 'port': '0'}}, 'server': True}
    check(c.run('chardev-add', id='tcp', backend={'type': 'socket', 'data': inet}) == {}, 'inet')
    check(c.run('chardev-add', id='x', backend={'type': 'file', 'data': {'out': '/zz/y'}})[0] ==
          'GenericError', 'no such file')
    for kind in list(kinds) + ['tcp']:
        check(c.run('chardev-remove', id=kind) == {}, 'remove ' + kind)
    check(c.run('chardev-remove', id='null') == ('GenericError', "Chardev 'null' not found"), 'gone')
    check('busy' in c.run('chardev-remove', id='compat_monitor0')[1], 'in use')
    key = [{'type': 'qcode', 'data': 'ctrl'}, {'type': 'number', 'data': 30}]
    check(c.run('send-key', **{'keys': key, 'hold-time': 1}) == {}, 'send-key')
    check(c.run('send-key', keys=[{'type': 'number', 'data': 999}])[0] == 'GenericError', 'no key')
    check(c.run('human-monitor-command', **{'command-line': 'info status'}) ==
          'VM status: paused (prelaunch)\r\n', 'human-monitor-command')
    check(c.run('human-monitor-command', **{'command-line': 'zz'}) ==
          "unknown command: 'zz'\r\n", 'unknown human command')
    check(c.run('human-monitor-command', **{'command-line': 'info cpus', 'cpu-index': 9}) ==
          ('GenericError', "Parameter 'cpu-index' expects a CPU number"), 'cpu-index')


def fd_commands(c, m):
    none = ('GenericError', 'No file descriptor supplied via SCM_RIGHTS')
    check(c.run('getfd', fdname='f') == none and c.run('add-fd') == none, 'no descriptor')
    path = m.file('passed')
    with open(path, 'wb') as f:
        check(c.run('getfd', fds=[f.fileno()], fdname='f') == {}, 'getfd')
        check(c.run('getfd', fds=[f.fileno()], fdname='g') == {}, 'getfd')
        check(c.run('getfd', fds=[f.fileno()], fdname='1x')[0] == 'GenericError', 'a bad name')
    check(c.run('closefd', fdname='g') == {}, 'closefd')
    check(c.run('closefd', fdname='g') ==
          ('GenericError', "File descriptor named 'g' not found"), 'closefd twice')
    check(c.run('dump-guest-memory', paging=False, protocol='fd:f') == {}, 'dump to fd:')
    check(open(path, 'rb').read(4) == b'\x7fELF', 'the dump is there')
    with open(path, 'wb') as f:
        info = c.run('add-fd', fds=[f.fileno()], opaque='note')
        more = c.run('add-fd', fds=[f.fileno()], **{'fdset-id': 7})
    check(info['fdset-id'] == 0 and more['fdset-id'] == 7, 'add-fd')
    sets = {s['fdset-id']: s['fds'] for s in c.run('query-fdsets')}
    check(sets[0][0] == {'fd': info['fd'], 'opaque': 'note'} and len(sets[7]) == 1, 'query-fdsets')
    check(c.run('chardev-add', id='set',
                backend={'type': 'file', 'data': {'out': '/dev/fdset/7'}}) == {}, '/dev/fdset')
    check(c.run('chardev-remove', id='set') == {}, '/dev/fdset')
    check(c.run('remove-fd', **{'fdset-id': 7}) == {} and
          c.run('remove-fd', **{'fdset-id': 0, 'fd': info['fd']}) == {}, 'remove-fd')
    check(c.run('remove-fd', **{'fdset-id': 7})[0] == 'GenericError', 'remove-fd twice')
    check(c.run('query-fdsets') == [], 'no sets')


def argument_errors(c):
    for command, arguments, text in [
            ('query-status', {'a': 1}, "Parameter 'a' is unexpected"),
            ('qom-get', {'path': '/'}, "Parameter 'property' is missing"),
            ('qom-get', {'path': 1, 'property': 'x'},
             "Invalid parameter type for 'path', expected: string"),
            ('pmemsave', {'val': 'x', 'size': 1, 'filename': 'y'},
             "Invalid parameter type for 'val', expected: integer"),
            ('pmemsave', {'val': 1.5, 'size': 1, 'filename': 'y'},
             "Invalid parameter type for 'val', expected: integer"),
            ('qom-list-types', {'abstract': 1},
             "Invalid parameter type for 'abstract', expected: boolean"),
            ('send-key', {'keys': 3}, "Invalid parameter type for 'keys', expected: array"),
            ('send-key', {'keys': [{'data': 'zz'}]}, "Parameter 'keys[0].type' is missing"),
            ('send-key', {'keys': [{'type': 'foo', 'data': 'zz'}]},
             "Parameter 'keys[0].type' does not accept value 'foo'"),
            ('send-key', {'keys': [{'type': 'qcode', 'data': 'zz'}]},
             "Parameter 'keys[0].data' does not accept value 'zz'"),
            ('send-key', {'keys': [{'type': 'qcode', 'data': 'a', 'b': 1}]},
             "Parameter 'keys[0].b' is unexpected"),
            ('chardev-add', {'id': 'x', 'backend': 3},
             "Invalid parameter type for 'backend', expected: object"),
            ('object-add', {'qom-type': 'zz', 'id': 'a'},
             "Parameter 'qom-type' does not accept value 'zz'"),
            ('object-add', {'qom-type': 'rng-random'}, "Parameter 'id' is missing"),
            ('object-del', {'id': 'a\0b'}, "Parameter 'id' contains a NUL character")]:
        got = c.run(command, **arguments)
        check(got == ('GenericError', text), '%s %s: %s' % (command, arguments, got))


def migrate_commands(c):
    """The machine goes, and comes back."""
    check(c.run('migrate', uri='exec:cat > /dev/null') == {}, 'migrate')
    states = []
    while not states or states[-1] != 'completed':
        states.append(c.event('MIGRATION')['data']['status'])
    check(states == ['setup', 'active', 'device', 'completed'], 'MIGRATION: %s' % states)
    check(c.run('query-status') == {'status': 'postmigrate', 'singlestep': False, 'running': False}, 'postmigrate')
    info = c.run('query-migrate')
    check(info['status'] == 'completed' and info['ram']['remaining'] == 0 and
          info['ram']['transferred'] > 4096 and info['downtime'] <= info['total-time'], 'query-migrate: %s' % info)
    check(c.run('migrate_cancel') == {}, 'nothing to cancel')
    check(c.run('migrate', uri='exec:true')[1].startswith('the machine has been sent already'), 'once')
    check(c.run('cont') == {} and c.run('query-status')['status'] == 'running', 'it comes back')
    check(c.run('migrate', uri='exec:false') == {}, 'to nobody')
    while c.event('MIGRATION')['data']['status'] != 'failed':
        pass
    check(c.run('query-status')['status'] == 'running' and 'error-desc' in c.run('query-migrate'), 'it goes on')
    check(c.run('migrate', uri='exec:sleep 1000') == {}, 'to somebody who does not read')
    while c.event('MIGRATION')['data']['status'] != 'device':
        pass
    check(c.run('cont') == ('GenericError', 'Migration is not finalized yet'), 'not now')
    check(c.run('migrate_cancel') == {}, 'migrate_cancel')
    while c.event('MIGRATION')['data']['status'] != 'cancelled':
        pass
    check(c.run('query-status')['status'] == 'running', 'it goes on')
    c.events.clear()


def run_commands(c):
    check(c.run('query-status') == {'status': 'prelaunch', 'singlestep': False, 'running': False},
          'prelaunch')
    check(c.run('cont') == {} and c.events.pop()['event'] == 'RESUME', 'cont')
    check(c.run('query-status')['status'] == 'running', 'running')
    check(c.run('cont') == {} and [e['event'] for e in c.events] == ['STOP', 'RESUME'], 'cont again')
    migrate_commands(c)
    c.events.clear()
    check(c.run('stop') == {} and c.events.pop()['event'] == 'STOP', 'stop')
    check(c.run('stop') == {} and c.events == [], 'stop again')
    check(c.run('query-status')['status'] == 'paused', 'paused')
    check(c.run('inject-nmi') == {}, 'inject-nmi')        # the reset takes it back
    c.schema.seen |= {'migrate-incoming'}                  # test_migrate
    c.schema.seen |= {'set-action', 'watchdog-set-action'}  # test_crashes_and_watchdogs
    check(c.run('system_reset') == {} and c.events.pop()['data'] ==
          {'guest': False, 'reason': 'host-qmp-system-reset'}, 'RESET')
    check(c.run('query-status')['status'] == 'prelaunch', 'prelaunch after a reset')
    check(c.run('system_powerdown') == {} and c.events.pop()['event'] == 'POWERDOWN', 'POWERDOWN')


# -- What the guest does -----------------------------------------------------------------------------

_stub = {}


def stub_kernel(code=b'\xfa\xf4\xeb\xfd', name='halt'):
    """A Multiboot 1 kernel of a few bytes of 32-bit code (default: cli; hlt for ever)."""
    if name not in _stub:
        magic, flags, base = 0x1badb002, 0x10000, 0x100000
        header = struct.pack('<8I', magic, flags, (-magic - flags) & 0xffffffff, base, base, 0, 0,
                             base + 32)
        f = tempfile.NamedTemporaryFile(suffix='-' + name)
        f.write(header + code)
        f.flush()
        _stub[name] = f
    return _stub[name].name


def out(port, value, size=2):
    """mov dx, port; mov eax, value; out dx, al/ax/eax"""
    op = {1: b'\xee', 2: b'\x66\xef', 4: b'\xef'}[size]
    return b'\x66\xba' + struct.pack('<H', port) + b'\xb8' + struct.pack('<I', value) + op


HALT = b'\xfa\xf4\xeb\xfd'
# PMBASE of the PIIX4 function (1.3) to 0x600, power management on; then SLP_EN with type 0
POWER_OFF = (out(0xcf8, 0x80000b40, 4) + out(0xcfc, 0x601, 4) + out(0xcf8, 0x80000b80, 4) +
             out(0xcfc, 1, 1) + out(0x604, 0x2000)) + HALT
RESET = out(0x64, 0xfe, 1) + HALT
SET_YEAR = (out(0x70, 0x0b, 1) + out(0x71, 0x82, 1) + out(0x70, 9, 1) + out(0x71, 0x10, 1) +
            out(0x70, 0x0b, 1) + out(0x71, 0x02, 1)) + HALT
TRIPLE = b'\x0f\x01\x1d\x00\x00\x00\x00\xcc' + HALT    # lidt from zeroes; int3


# IDE, PIO: write one sector of nothing at LBA 0x60000 (192 MiB)
WRITE_SECTOR = (out(0x1f6, 0xe0, 1) + out(0x1f2, 1, 1) + out(0x1f3, 0, 1) + out(0x1f4, 0, 1) +
                out(0x1f5, 6, 1) + out(0x1f7, 0x30, 1) +
                b'\xb9\x00\x01\x00\x00\x66\xba\xf0\x01\x66\xef\xe2\xfc') + HALT


def guest(code, name, *args, before=None):
    m = Machine('-S', '-kernel', stub_kernel(code, name), *args, name='pc', before=before)
    c = m.client()
    c.schema = Schema(c.run('query-qmp-schema'))
    c.run('cont')
    return m, c


DIFFERENT = [                  # command line of the destination: what it says
    (['-m', '32'], 'it has memory=16, this one memory=32 (-m)'),
    (['-smp', '2'], 'it has cpus=1, this one cpus=2 (-smp)'),
    (['-cpu', 'max,-sse4.2'], 'its CPUs have sse4.2, those here have not'),
    (['-cpu', 'max,-rdtscp,kvm=off'], '(-cpu)'),
    (['-machine', 'microvm'], 'it has machine=pc, this one machine=microvm (-machine)'),
    (['-device', 'virtio-rng-pci'], 'virtio-rng-pci'),
    (['-vga', 'std'], '=VGA at 02.0'),
    (['-machine', 'pc,hpet=off'], 'it has device 7=hpet'),
]


def refused(path, options, text):
    p = subprocess.run([EXE, '-display', 'none', '-nodefaults', '-machine', 'pc', '-m', '16', '-accel', 'interpret',
                        '-kernel', stub_kernel(b'\xeb\xfe', 'loop'), '-incoming', 'file:' + path, *options],
                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
    said = p.stderr.decode()
    check(p.returncode == 1 and text in said and said.count('\n') == 1, '%s: status %d, %s' % (options, p.returncode, said))


def test_migrate():
    """A machine goes to a file; who continues it must be the same, and the file whole."""
    with tempfile.TemporaryDirectory(prefix='qmp') as scratch:
        migrate(scratch)


def migrate(scratch):
    path = os.path.join(scratch, 'state')
    m, c = guest(b'\xeb\xfe', 'loop')
    check(c.run('migrate', uri='file:' + path) == {} and c.event('STOP') is not None, 'migrate')
    while c.run('query-migrate')['status'] != 'completed':
        pass
    c.sock.close()
    m.quit()
    boot = ['-kernel', stub_kernel(b'\xeb\xfe', 'loop')]
    for stopped in [[], ['-S']]:
        m = Machine(*boot, '-incoming', 'defer', *stopped, name='pc')
        c = m.client()
        check(c.run('query-status')['status'] == 'inmigrate', 'inmigrate')
        check(c.run('migrate', uri='file:/dev/null') ==
              ('GenericError', 'Guest is waiting for an incoming migration'), 'not yet')
        check(c.run('migrate-incoming', uri='file:' + path) == {}, 'migrate-incoming')
        while c.run('query-status')['status'] == 'inmigrate':
            pass
        check(c.run('query-status')['status'] == ('paused' if stopped else 'running'), 'it goes on')
        check((c.event('RESUME') is not None) if not stopped else c.run('cont') == {}, 'RESUME')
        c.sock.close()
        m.quit()
    for options, text in DIFFERENT:
        refused(path, options, text)
    with open(path, 'rb') as whole:
        data = whole.read()
    for name, bad, text in [
            ('short', data[:-1], 'it ends early'), ('shorter', data[:40], 'it ends early'), ('empty', b'', 'it ends early'),
            ('version', data.replace(b'machine\n\x01', b'machine\n\x02', 1), 'version 2, this program reads version 1'),
            ('other', b'x' + data[1:], 'it is not a saved machine'),
            ('damaged', data[:-9000] + bytes([data[-9000] ^ 1]) + data[-8999:], 'it is damaged: a checksum is wrong')]:
        with open(os.path.join(scratch, name), 'wb') as f:
            f.write(bad)
        refused(f.name, [], text)


def test_crashes_and_watchdogs():
    """pvpanic and ib700, with each action."""
    panic, crash = out(0x505, 1, 1) + HALT, out(0x505, 2, 1) + HALT
    bark = out(0x443, 15, 1) + HALT                    # no seconds at all
    pvpanic, watchdog = ('-device', 'pvpanic'), ('-device', 'ib700')
    for args, action, ends in [
            ((), 'poweroff', 0), (('-action', 'panic=exit-failure'), 'poweroff', 1),
            (('-action', 'panic=pause'), 'pause', None), (('-no-shutdown',), 'pause', None),
            (('-action', 'panic=none'), 'run', None)]:
        m, c = guest(panic, 'panic', *pvpanic, *args)
        check(c.event('GUEST_PANICKED')['data'] == {'action': action}, 'GUEST_PANICKED %s' % (args,))
        if ends is not None:
            check(c.event('SHUTDOWN')['data'] == {'guest': True, 'reason': 'guest-panic'}, 'SHUTDOWN')
            check(m.end() == ends, 'status %d' % ends)
            continue
        if action == 'pause':
            check(c.event('STOP') is not None, 'STOP')
            check(c.run('cont') == ('GenericError', 'Resetting the Virtual Machine is required'), 'no cont')
        check(c.run('query-status')['status'] == ('guest-panicked' if action == 'pause' else 'running'),
              'status %s' % action)
        c.sock.close()
        m.quit()
    m, c = guest(crash, 'crash', *pvpanic)
    check(c.event('GUEST_CRASHLOADED')['data'] == {'action': 'run'}, 'GUEST_CRASHLOADED')
    c.sock.close()
    m.quit()
    for action, event in [('reset', 'RESET'), ('poweroff', 'SHUTDOWN'), ('pause', 'STOP'),
                          ('shutdown', 'POWERDOWN'), ('none', None), ('inject-nmi', None), ('debug', None)]:
        m = Machine('-S', '-kernel', stub_kernel(bark, 'bark'), *watchdog, name='pc')
        c = m.client()
        c.schema = Schema(c.run('query-qmp-schema'))
        if action == 'reset':
            check(c.run('watchdog-set-action', action='none') == {}, 'watchdog-set-action')
        check(c.run('set-action', watchdog=action) == {}, 'set-action')
        c.run('cont')
        check(c.event('WATCHDOG')['data'] == {'action': action}, 'WATCHDOG %s' % action)
        if event is not None:
            c.event(event)
        if action == 'poweroff':
            check(m.end() == 0, 'a watchdog ends the machine')
            continue
        if action == 'pause':
            check(c.run('query-status')['status'] == 'watchdog', 'status watchdog')
        c.run('stop')
        c.sock.close()
        m.quit()


def limit_files():
    """The host refuses to write beyond 128 MiB of any file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (128 << 20, 128 << 20))


def test_guest_events():
    m, c = guest(POWER_OFF, 'off')
    check(c.event('SHUTDOWN')['data'] == {'guest': True, 'reason': 'guest-shutdown'}, 'power-off')
    check(c.message() is None and m.end() == 0, 'power-off ends the process')

    m, c = guest(POWER_OFF, 'off', '-no-shutdown')
    check(c.event('SHUTDOWN')['data']['reason'] == 'guest-shutdown', '-no-shutdown: SHUTDOWN')
    check(c.event('STOP') is not None, '-no-shutdown: STOP')
    check(c.run('query-status')['status'] == 'shutdown', 'status shutdown')
    check(c.run('cont') == ('GenericError', 'Resetting the Virtual Machine is required'), 'no cont')
    check(c.run('system_reset') == {} and c.event('RESET') is not None, 'reset')
    check(c.run('query-status')['status'] == 'prelaunch', 'prelaunch')
    c.run('cont')
    check(c.event('SHUTDOWN') is not None, 'and off once more')
    c.sock.close()
    m.quit()

    for name, code in [('reset', RESET), ('triple', TRIPLE)]:
        m, c = guest(code, name, '-no-reboot')
        check(c.event('SHUTDOWN')['data'] == {'guest': True, 'reason': 'guest-reset'},
              '-no-reboot, ' + name)
        check(m.end() == 0, '-no-reboot ends with 0')
        m, c = guest(code, name)
        check(c.event('RESET')['data'] == {'guest': True, 'reason': 'guest-reset'}, name)
        c.run('stop')
        c.sock.close()
        m.quit()

    m, c = guest(SET_YEAR, 'rtc', '-rtc', 'base=2009-01-01')
    e = c.event('RTC_CHANGE')
    check(e is not None and abs(e['data']['offset'] - 365 * 86400) < 60, 'RTC_CHANGE: %s' % e)
    c.sock.close()
    m.quit()

    with tempfile.NamedTemporaryFile(suffix='.img') as disk:
        disk.truncate(256 << 20)
        m, c = guest(WRITE_SECTOR, 'write', '-drive',
                     'file=%s,format=raw,if=ide,id=hd' % disk.name, before=limit_files)
        data = c.event('BLOCK_IO_ERROR')['data']
        check(data['device'] == 'hd' and data['operation'] == 'write' and
              data['action'] == 'report', 'BLOCK_IO_ERROR: %s' % data)
        c.sock.close()
        m.quit()

    m, c = guest(HALT, 'halt')
    m.process.send_signal(signal.SIGTERM)
    check(c.event('SHUTDOWN')['data'] == {'guest': False, 'reason': 'host-signal'}, 'SIGTERM')
    check(m.end() == 0, 'SIGTERM ends with 0')


# -- The golden session --------------------------------------------------------------------------------

SESSION = """
{"execute": "query-status"}
{"execute": "qmp_capabilities"}
{"execute": "query-status", "id": 1}
{"execute": "query-name", "id": "a"}
{"execute": "query-uuid", "id": [1, {"b": null}]}
{"execute": "query-target"}
{"execute": "query-events"}
{"execute": "query-block"}
{"execute": "query-pci"}
{"execute": "query-chardev"}
{"execute": "query-cpus-fast"}
{"execute": "cont"}
{"execute": "stop"}
{"execute": "system_reset"}
{"execute": "nonsense", "id": 2}
{"execute": "stop", "arguments": {"x": 1}}
{"execute": "human-monitor-command", "arguments": {"command-line": "info status"}}
{"execute": "qom-get", "arguments": {"path": "/zz", "property": "x"}}
{"execute": "device-list-properties", "arguments": {"typename": "isa-debug-exit"}}
{"execute": "quit"}
"""


def test_golden_session():
    p = subprocess.run([EXE, '-S', '-display', 'none', '-machine', 'none', '-name', 'golden',
                        '-accel', 'interpret', '-nodefaults', '-qmp', 'stdio'],
                       input=SESSION.encode(), stdout=subprocess.PIPE, timeout=TIMEOUT)
    text = p.stdout.decode().replace('\r\n', '\n')
    text = re.sub(r'"seconds": \d+, "microseconds": \d+', '"seconds": S, "microseconds": U', text)
    text = re.sub(r'Metaphrase [0-9.]+', 'Metaphrase VERSION', text)
    path = os.path.join(SOURCE, 'tests/golden/qmp-session.txt')
    if os.environ.get('GOLDEN_BLESS'):
        with open(path, 'w') as f:
            f.write(text)
    check(open(path).read() == text, 'the session is that of tests/golden/qmp-session.txt:\n' + text)


def main():
    tests = [f for name, f in sorted(globals().items()) if name.startswith('test_')]
    for test in tests:
        begin = time.monotonic()
        try:
            test()
        except Exception as e:                       # the others shall run all the same
            failures.append(test.__name__)
            print('FAILED: %s: %r' % (test.__name__, e))
            import traceback
            traceback.print_exc(limit=4, file=sys.stdout)
        print('%-24s %.2f s' % (test.__name__, time.monotonic() - begin))
    print('%d failures' % len(failures))
    sys.exit(1 if failures else 0)


main()
