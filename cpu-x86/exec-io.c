/* SPDX-License-Identifier: GPL-2.0-or-later */
/* in, out; ins and outs are in exec-string.c. */
#include "cpu-x86/debug.h"
#include "cpu-x86/insn-operand.h"
#include "cpu-x86/insns.h"

static uint16_t checked_port(CpuState *cpu, const X86Insn *in, unsigned i, unsigned size)
{
    uint16_t port = in->op[i].kind == OPERAND_IMM ? (uint8_t)in->imm
                                                  : (uint16_t)cpu->gpr[GPR_RDX];

    if (!cpu_port_allowed(cpu, port, size)) {
        cpu_raise_gp(cpu, 0);
    }
    cpu_debug_io(cpu, port, size);
    cpu->stats[STAT_PORT_IO]++;
    return port;
}

void exec_in(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op[0].size;
    uint16_t port = checked_port(cpu, in, 1, size);

    gpr_put(cpu, GPR_RAX, size, port_read(cpu->ports, port, size));
}

void exec_out(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op[1].size;
    uint16_t port = checked_port(cpu, in, 0, size);

    port_write(cpu->ports, port, size, (uint32_t)gpr_get(cpu, GPR_RAX, size));
}
