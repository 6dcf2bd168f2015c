/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/policy.h"

#include "translator/direct/direct.h"
#include "translator/front.h"

const TransConfig trans_policy = {
    /* Longer blocks find no free scratch registers; 32 covers nearly all basic blocks of compilers. */
    .block_insns_max = 32,
    /* The interpreter's decoding costs as much as translating: boots took 1.3 times as long with 3. */
    .translate_at = 1,
    .cold_budget = 16,
    .odd_budget = 4096,
    /* A compiler's hot code is more than 64 MiB; what is never used costs nothing. */
    .code_mib = 256,
    .code_regions = 8,
    /* Misses cost 200 cycles, and big programs have tens of thousands of targets. */
    .jump_cache = 65536,
    /* A miss for good costs 250 cycles more than a call, translating the block anew some 10,000. */
    .call_misses = 16,
    /* A signal costs 7,000 to 25,000 cycles, a call that delivers the fault some 300. */
    .divide_faults = 4,
    .habit_in_vain = 64,
    /* One that goes to devices and to memory by turns is best off called. */
    .habit_turns = 3,
    .window = true,
    /* Mapping all anew each few dozen faults would cost more than look-ups. */
    .window_overflows = 24,
    /* A fault costs some 3 us, translating a block anew as much.  User addresses and devices are no accident
     * and count at once; pages of code come and go. */
    .window_faults = 4,
    /* Where one instruction is guilty its neighbours often are. */
    .window_cluster = 8,
    /* Asking takes some 100 cycles, a fault that maps 5,000 to 50,000; less than one in 64 is left to faults. */
    .window_touch = 8,
    /* Eight faults cost as much as asking some 1,000 to 4,000 times in vain. */
    .touch_doublings = 4,
    /* A miss of the TLB costs 500 cycles, a mapping used once 10,000 to 100,000. */
    .window_aside = 16,
    /* On memory that is there a look-up costs 5 cycles, its miss 500: both must be less than the mappings. */
    .aside_in_vain = 16,
    /* Others that want it may come to do without, too, and take 8 and 16. */
    .window_missed = 48,
    .window_regions = true,
    /* A mapping made again takes some 5 to 40 us with its fault and its end, look-ups instead of it one at most: so it is where
     * some per cent of the time goes there that this begins. */
    .window_region_us = 250,
    .window_region_burst = 128,
    /* Trying again costs a burst, so a thousandth of the time. */
    .window_region_ms = 1000,
    /* Finding one out costs two or three mappings. */
    .window_region_sites = 96,
    .window_protect = 8,
    /* 10 to 40 us of waiting, of which a yield with nobody waiting takes one. */
    .pause_yield = CPU_PAUSES,
    /* A stack of Linux is four; what is never used costs a mapping, a fault some ten. */
    .window_group = 4,
    /* Early boot goes through some sets of tables. */
    .window_changes = 16,
    /* Modules come and go less often in 2 or 4 MiB. */
    .window_drops = 500,
    /* Some may be so in a kernel that has others. */
    .window_locals = 2048,
    /* Drivers touch their devices with what copies memory later: seconds to minutes. */
    .window_pardon_every = 1 << 17,
    .window_pardons = 3,
    /* Kernels probe addresses that may not be mapped now and then; each probe that we allow is one in some
     * thousands to hit something of ours. */
    .window_distrust = 32,
    .chain = true,
    .chain_pages = true,
    .direct = DIRECT_AUTO,
    .direct_spin = SPIN_AUTO,
    .direct_breaks = true,
    /* Most kernel code returns from a function sooner; a signal costs both sides some 10 to 25 us. */
    .ask_ns = 3000,
    .look_ahead = true,
    .quiet = true,
    .share = true,
    /* Programs that are always at one place are below, where an address is a constant of 32 bits. */
    .share_above = 4,
    .strings = true,
    .near_stack = true,
    .near_runs = true,
    .near_data = true,
    .group = true,
    /* An eighth of the time: so only a few pages are, whose instructions find room. */
    .hot_samples = 4,
    .warm = true,
    /* Kernels gain by each, user code by the first two (doc/decisions/0010-blocks-that-go-on.md). */
    .branches = 2,
    .cold_code = true,
    .exact_writes = true,
    .revive = true,
    .soft = true,
    /* A walk saved where it is right, 100 cycles lost where it is not. */
    .walk_ahead = true,
    .transitions = true,
    .system = true,
    .quick = true,
};
