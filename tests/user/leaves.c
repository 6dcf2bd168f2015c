/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the hypervisor's leaves of CPUID show user code, and what the kernel wrote to KVM's MSRs (tests/boot/leaves.py). */
#include <cpuid.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void show_msrs(void)
{
    int fd = open("/dev/cpu/0/msr", O_RDONLY);

    for (off_t msr = 0x4b564d00; fd >= 0 && msr <= 0x4b564d05; msr++) {
        uint64_t v;

        if (pread(fd, &v, sizeof v, msr) == sizeof v) {
            printf("msr %lx: %lx\n", (unsigned long)msr, (unsigned long)v);
        } else {
            printf("msr %lx: none\n", (unsigned long)msr);
        }
    }
}

int main(void)
{
    unsigned base[4], r[4], vmware[4] = {0};
    char name[13] = "";

    __cpuid(0x40000000, base[0], base[1], base[2], base[3]);
    memcpy(name, &base[1], 12);
    __cpuid(0x40000001, r[0], r[1], r[2], r[3]);
    if (base[0] >= 0x40000010) {
        __cpuid(0x40000010, vmware[0], vmware[1], vmware[2], vmware[3]);
    }
    printf("leaves: %s features %x kHz %u %u\n", name, r[0], vmware[0], vmware[1]);
    show_msrs();
    return 0;
}
