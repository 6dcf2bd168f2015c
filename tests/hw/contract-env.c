/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What surrounds a device under contract; see contract.h. */
#include "tests/hw/contract.h"

static void chr_write(Chardev *c, const uint8_t *buf, size_t len)
{
}

static const ChardevClass chr_class = {.name = "sink", .write = chr_write};

Device *contract_set_up(ContractEnv *env, const ContractRow *row, uint64_t now_ns)
{
    *env = (ContractEnv){.others = g_ptr_array_new(), .chr = {.cls = &chr_class, .open = true}};
    fake_clock_init(&env->clock);
    env->clock.ns = now_ns;
    lock_init(&env->lock, LOCK_RANK_MACHINE);
    lock_take(&env->lock);
    env->mem = phys_mem_new(CONTRACT_MEM_LEN, &env->lock, NULL);
    env->ports = port_space_new(&env->lock);
    phys_region_ram(env->mem, 0, CONTRACT_RAM_LEN, phys_mem_alloc(env->mem, CONTRACT_RAM_LEN), 0,
                    "ram");
    return row->make(env);
}

void contract_tear_down(ContractEnv *env, Device *d)
{
    device_free(d);
    for (unsigned i = 0; i < env->others->len; i++) {
        device_free(g_ptr_array_index(env->others, i));
    }
    if (env->finish != NULL) {
        env->finish(env->finish_arg);
    }
    g_assert(timer_queue_next(&env->clock.timers) == TIMER_NEVER); /* a freed device left one armed */
    g_ptr_array_free(env->others, TRUE);
    port_space_free(env->ports);
    phys_mem_free(env->mem);
    lock_release(&env->lock);
    lock_clear(&env->lock);
}
