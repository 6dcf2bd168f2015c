/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The border between C and translated code (glue.S). */
#ifndef TRANSLATOR_GLUE_H
#define TRANSLATOR_GLUE_H

/* Load the guest's registers and flags from vcb.host and vcb.flags and go to vcb.resume; returns
 * when trans_left() says so. */
void trans_enter(void);

/* Targets of generated code and of the signal handler; never called from C. */
void trans_thunk(void);
void trans_thunk_entry(void); /* as trans_thunk, with SITE_ENTRY: put into vcb.resume by a kick */
void trans_thunk_arrived(void); /* ... with SITE_ARRIVED, at MARK_TRANSIT */

void trans_bounce(void);        /* to vcb.bounce_pc with vcb.bounce_rsp, before trans_bounce_end */
extern const char trans_bounce_end[];

/* Put the vector state that is live in the host into *vcb.vec.  Idempotent; cheap when nothing is. */
void trans_vec_spill(void);

/* VEC_HALF_* of it come back, where they are there. */
void trans_vec_load(unsigned halves);

/* Called by glue.S on the C stack when translated code leaves, registers in vcb.host.  True: go on
 * at vcb.resume with vcb.host; false: return from trans_enter(). */
_Bool trans_left(void);

#endif /* TRANSLATOR_GLUE_H */
