/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command lines: the parser takes any, opens nothing (but -readconfig's file), and says in one line what it does not want. */
#include "monitor/config.h"
#include "softmmu/base/bits.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ARGS_MAX = 24 };

/* Options, keys and values: what a random byte above 0x80 stands for. */
static const char *const words[] = {
    "-machine", "-M", "-accel", "-cpu", "-smp", "-m", "-name", "-uuid", "-rtc", "-boot", "-global",
    "-kernel", "-append", "-initrd", "-dtb", "-bios", "-L", "-fw_cfg", "-smbios", "-drive", "-hda",
    "-fda", "-cdrom", "-snapshot", "-device", "-object", "-vga", "-display", "-nographic",
    "-nodefaults", "-chardev", "-serial", "-monitor", "-debugcon", "-S", "-no-reboot", "-action",
    "-pidfile", "-sandbox", "-d", "-D", "-trace", "-stress", "--help", "-version", "-no-such-option",
    "pc", "microvm", "none", "q35", "interpret", "kvm", "type=", "accel=", "hpet=", "on", "off",
    "host", "qemu64", "max", "+avx", "-sse2", "cpus=", "sockets=", "cores=", "threads=", "maxcpus=",
    "size=", "slots=", "1", "0", "4294967296", "18446744073709551616", "-1", "0x10", "1.5", "G",
    "99999999999999T", "base=", "utc", "2026-02-30", "localtime", "order=", "once=", "menu=", "dca",
    "splash-time=", "name=", "file=", "string=", "opt/x", "id=", "if=", "virtio", "ide", "floppy",
    "index=", "media=", "cdrom", "disk", "readonly=", "snapshot=", "cache=", "unsafe", "writeback",
    "serial=", "format=raw", "format=qcow2", "drive=", "virtio-blk-pci", "virtio-blk-device",
    "isa-debug-exit", "iobase=", "iosize=", "virtio-rng-pci", "virtio-serial-pci", "virtconsole",
    "rng-random", "stdio", "mon:", "unix:", "tcp:", "null", "pty", "file:", "chardev:", "socket",
    "path=", "host=", "port=", "server=", "wait=", "mux=", "ringbuf", "pipe", "ringbuf,size=",
    "reboot=", "shutdown=", "pause", "poweroff", "int,cpu", "all", "help", "?", "*", "enable=",
    "-blockdev", "-readconfig", "-runas", "-option-rom", "-msg", "-audiodev", "-watchdog-action", "-echr",
    "-overcommit", "-nic", "driver=", "node-name=", "filename=", "raw", "file.", "{\"driver\":\"", "\",\"node-name\":\"",
    "\",\"file\":\"", "\"}", "{", "}", "[", "]", "true", "iothread", "memory-backend-ram", "memory-backend=", "telnet:",
    "spawn=", "deny", "allow", "panic=", "watchdog=", "events=", "nr=", "timestamp=",
    "tlb_flush=", "type=1", "manufacturer=", ",", ",,", "=", ":", "%d", "%s", "x=", "",
};

/* Arguments end at 0; a byte from 0x80 on is a word. */
static int make_args(FuzzInput *in, char **argv)
{
    GString *arg = g_string_new(NULL);
    int n = 0;

    argv[n++] = g_strdup("metaphrase");
    while (in->left > 0 && n < ARGS_MAX) {
        uint8_t b = fuzz_u8(in);
        if (b == 0) {
            argv[n++] = g_strdup(arg->str);
            g_string_set_size(arg, 0);
        } else if (b >= 0x80) {
            g_string_append(arg, words[(b - 0x80u + 128u * (fuzz_u8(in) & 1)) % ARRAY_LEN(words)]);
        } else {
            g_string_append_c(arg, (char)b);
        }
    }
    if (arg->len > 0 && n < ARGS_MAX) {
        argv[n++] = g_strdup(arg->str);
    }
    argv[n] = NULL;
    g_string_free(arg, TRUE);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool quiet;
    char *argv[ARGS_MAX + 1];
    FuzzInput in = {data, size};
    g_autoptr(GError) error = NULL;
    MachineConfig config;

    if (!quiet) {              /* what -help prints */
        int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(fd, STDOUT_FILENO);
        close(fd);
        quiet = true;
    }
    int argc = make_args(&in, argv);
    ConfigResult r = config_parse(&config, argc, argv, &error);
    g_assert((r == CONFIG_FAILED) == (error != NULL));
    if (error != NULL) {
        g_assert(*error->message != 0);
    }
    config_clear(&config);
    for (int i = 0; i < argc; i++) {
        g_free(argv[i]);
    }
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *buf)
{
    static const char *const lines[] = {
        "-machine\npc,accel=interpret,hpet=off\n-cpu\nmax,-avx,+pcid\n-smp\n4,sockets=2\n-m\n1.5G",
        "-M\nmicrovm,pic=on,dumpdtb=x\n-kernel\nk\n-append\na b\n-initrd\ni",
        "-drive\nfile=x,,y,if=virtio,format=raw,id=d0,cache=unsafe,readonly=on\n-device\n"
        "virtio-blk-pci,drive=d0,id=b,serial=abc",
        "-chardev\nsocket,id=c,path=/s,server=on,wait=off\n-serial\nchardev:c\n-monitor\nnone",
        "-serial\ntcp:127.0.0.1:99,server,nowait\n-serial\nmon:stdio\n-debugcon\nfile:x",
        "-boot\norder=dca,menu=on,splash-time=10\n-fw_cfg\nname=opt/x,string=y\n-smbios\n"
        "type=1,manufacturer=a,product=b",
        "-rtc\nbase=2026-01-02T03:04:05\n-d\nint,cpu_reset\n-trace\npic_*\n-stress\nx=3\n-S",
        "-device\nisa-debug-exit,iobase=0xf4,iosize=4\n-object\nrng-random,id=r\n-global\na.b=c",
        "-serial\nx=y\n-monitor\nmon:a=b",
        "-uuid\n12345678-1234-1234-1234-123456789abc\n-name\nx\n-action\nreboot=shutdown\nimage",
    };
    size_t len;

    if (i >= ARRAY_LEN(lines)) {
        return 0;
    }
    len = strlen(lines[i]);
    for (size_t k = 0; k < len; k++) {
        buf[k] = lines[i][k] == '\n' ? 0 : (uint8_t)lines[i][k];
    }
    return len;
}
