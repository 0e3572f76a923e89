/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inplace-verify.h - Is a domain that was put back what the image is?
 *
 * Theory of operation
 * -------------------
 * Each page of the written domain, before it runs, is compared with the
 * image's. What may differ is known by its address, word by word; nothing is
 * guessed from what it looks like. The guest's kernel tells where that is:
 * its symbols are looked up through the page tables of the checkpoint.
 *
 *   vcpu_info      64 octets of each virtual CPU, which the hypervisor writes
 *                  to through a mapping of its own, in no log;
 *   control block  of the event channels, the same;
 *   event array    in its words only the bits that are the hypervisor's;
 *   grant table    empty, but for the two seeds;
 *   rings          that of the console empty, that of xenstore anything: it
 *                  begins anew afterwards.
 *
 * None of them travels in an epoch that is up to date, either: a guest that
 * comes back from a suspend registers all of them anew.
 */
#ifndef XLC_INPLACE_VERIFY_H
#define XLC_INPLACE_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>

#include "error.h"
#include "image.h"

#define VERIFY_FIRST 8u
#define VERIFY_AREAS 64u

/* What the guest's kernel is asked for, in the order of "symbols". */
enum verify_symbol {
    VERIFY_PER_CPU,  /* __per_cpu_offset */
    VERIFY_VCPU,     /* xen_vcpu_info */
    VERIFY_CONTROL,  /* cpu_control_block */
    VERIFY_EVENTS,   /* event_array */
    VERIFY_GRANTS,   /* xen_auto_xlat_grant_frames */
    VERIFY_SYMBOLS,
};

/* Why a page may differ, and how many pages of each kind did. */
enum verify_kind {
    VERIFY_IS_VCPU,
    VERIFY_IS_CONTROL,
    VERIFY_IS_EVENT,
    VERIFY_IS_GRANT,
    VERIFY_IS_RING,
    VERIFY_KINDS,
};

/**
 * struct verify_area - @len octets from @from of a page frame
 */
struct verify_area {
    uint64_t pfn;
    unsigned int from, len;
    enum verify_kind kind;
};

/**
 * struct verify - one domain
 * @symbols: addresses, if @told
 * @area: @n of them
 * @differs: pages that differ without a reason, @first of them; @may: with one
 */
struct verify {
    xc_interface *xch;
    xenforeignmemory_handle *fmem;
    uint32_t domid;
    unsigned int vcpus;
    uint64_t store, console;
    bool told;
    uint64_t symbols[VERIFY_SYMBOLS];
    struct verify_area area[VERIFY_AREAS];
    unsigned int n, differs, may[VERIFY_KINDS];
    uint64_t first[VERIFY_FIRST];
};

/* VERIFY_SYMBOLS hexadecimal numbers with a blank between. */
bool verify_tell(struct verify *v, const char *numbers);

/**
 * verify_run() - compare all memory of the written domain
 *
 * Without symbols only the rings may differ. Return: 0, and @differs counts;
 * a negative errno
 */
int verify_run(struct verify *v, const struct image *img,
               struct xlc_error *err);

#endif
