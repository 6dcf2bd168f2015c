/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Helpers that leave the CpuState as it is: registers stay in the vCPU block (TransCpu.vcb->host), and what the
 * interpreter's function would do is done for the usual cases.  False: nothing was done, and the interpreter's
 * function is to do it, with all of the CpuState up to date (border.c).
 *
 * The system state of the CpuState is up to date (system_from_host()), registers and rip are not; `in` is the
 * instruction in the interpreter's form.  Its registers are not among the borrowed.
 */
#ifndef TRANSLATOR_QUICK_H
#define TRANSLATOR_QUICK_H

#include "translator/engine-internal.h"

/* IN, OUT at CPL 0. */
bool quick_port(TransCpu *tc, const X86Insn *in);
/* RDMSR, WRMSR at CPL 0. */
bool quick_msr(TransCpu *tc, const X86Insn *in);
/* MOV to CR3, to and from CR8, at CPL 0.  Behind it the TLB's space may be another. */
bool quick_cr(TransCpu *tc, const X86Insn *in);
/* CPUID; generated code finds the answer the next time. */
bool quick_cpuid(TransCpu *tc);
/* Forget those answers. */
void quick_forget_cpuid(TransCpu *tc);
/* INVLPG of `lin`, at CPL 0. */
bool quick_invlpg(TransCpu *tc, uint64_t lin);
/* An access to a device's registers at `lin` by MOV or MOVZX, within a page.  *memory: there is memory instead. */
bool quick_device(TransCpu *tc, const X86Insn *in, uint64_t lin, unsigned size, bool write, bool *memory);

#endif /* TRANSLATOR_QUICK_H */
