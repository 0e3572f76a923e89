/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inplace-verify.c - Is a domain that was put back what the image is? */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "inplace-verify.h"
/* The next need xenctrl.h. */
#include <xen/event_channel.h>
#include <xen/grant_table.h>

#include "inplace.h"
#include "log.h"

#define EVENT_PAGES_MAX 4u
#define GRANT_PAGES_MAX 64u
/* Words of the event array that are the hypervisor's to write. */
#define EVENT_BITS (1u << EVTCHN_FIFO_PENDING | 1u << EVTCHN_FIFO_LINKED | \
                    EVTCHN_FIFO_LINK_MASK)

bool verify_tell(struct verify *v, const char *numbers)
{
    for (unsigned int i = 0; i < VERIFY_SYMBOLS; i++) {
        char *end;

        errno = 0;
        v->symbols[i] = strtoull(numbers, &end, 16);
        if (errno || end == numbers ||
            *end != (i + 1 < VERIFY_SYMBOLS ? ' ' : 0)) return false;
        numbers = end + 1;
    }
    v->told = true;
    return true;
}

/* Where the guest's address is. */
static int locate(struct verify *v, uint64_t address, uint64_t *pfn_r,
                  struct xlc_error *err)
{
    *pfn_r = xc_translate_foreign_address(v->xch, v->domid, 0, address);
    if (*pfn_r) return 0;
    return xlc_error_set(err, -EFAULT, "the guest has nothing at 0x%llx",
                         (unsigned long long)address);
}

/* Eight octets of the guest's, which lie in one page. */
static int peek(struct verify *v, uint64_t address, uint64_t *value_r,
                struct xlc_error *err)
{
    uint64_t pfn = 0;
    int e = 0, rc = locate(v, address, &pfn, err);
    uint8_t *p;

    if (rc) return rc;
    p = xenforeignmemory_map(v->fmem, v->domid, PROT_READ, 1,
                             (xen_pfn_t *)&pfn, &e);
    if (p && !e)
        memcpy(value_r, p + (address & (IMAGE_PAGE - 8)), sizeof(*value_r));
    if (p) xenforeignmemory_unmap(v->fmem, p, 1);
    if (p && !e) return 0;
    return xlc_error_set(err, -EFAULT, "page frame 0x%llx can't be read",
                         (unsigned long long)pfn);
}

static int add_area(struct verify *v, uint64_t address, unsigned int len,
                    enum verify_kind kind, struct xlc_error *err)
{
    struct verify_area *a = &v->area[v->n];
    uint64_t pfn = 0;
    int rc;

    if (v->n == VERIFY_AREAS)
        return xlc_error_set(err, -E2BIG, "too many areas");
    rc = locate(v, address, &pfn, err);
    if (rc) return rc;
    *a = (struct verify_area){ pfn, address % IMAGE_PAGE, len, kind };
    v->n++;
    return 0;
}

static int add_vcpu(struct verify *v, unsigned int vcpu,
                    struct xlc_error *err)
{
    uint64_t offset, block;
    int rc = peek(v, v->symbols[VERIFY_PER_CPU] + vcpu * 8, &offset, err);

    if (!rc)
        rc = add_area(v, offset + v->symbols[VERIFY_VCPU],
                      sizeof(struct vcpu_info), VERIFY_IS_VCPU, err);
    if (!rc) rc = peek(v, offset + v->symbols[VERIFY_CONTROL], &block, err);
    if (!rc && block)
        rc = add_area(v, block, sizeof(struct evtchn_fifo_control_block),
                      VERIFY_IS_CONTROL, err);
    return rc;
}

/* The kernel's {page frame numbers, how many, ...}. */
static int add_grants(struct verify *v, struct xlc_error *err)
{
    uint64_t list, count, pfn;
    int rc = peek(v, v->symbols[VERIFY_GRANTS], &list, err);

    if (!rc) rc = peek(v, v->symbols[VERIFY_GRANTS] + 8, &count, err);
    if (rc) return rc;
    count = (uint32_t)count;
    for (uint64_t i = 0; i < count && i < GRANT_PAGES_MAX; i++) {
        rc = peek(v, list + i * 8, &pfn, err);
        if (rc) return rc;
        if (v->n == VERIFY_AREAS) break; /* so it differs */
        v->area[v->n++] = (struct verify_area){
            pfn, i ? 0 : 2 * sizeof(union grant_entry_v2), IMAGE_PAGE,
            VERIFY_IS_GRANT,
        };
    }
    return 0;
}

static int find_areas(struct verify *v, struct xlc_error *err)
{
    int rc = 0;

    v->n = 0;
    if (!v->told) return 0;
    for (unsigned int i = 0; !rc && i < v->vcpus; i++)
        rc = add_vcpu(v, i, err);
    for (unsigned int i = 0; !rc && i < EVENT_PAGES_MAX; i++) {
        uint64_t page = 0;

        rc = peek(v, v->symbols[VERIFY_EVENTS] + i * 8, &page, err);
        if (!page) break;
        if (!rc) rc = add_area(v, page, IMAGE_PAGE, VERIFY_IS_EVENT, err);
    }
    return rc ? rc : add_grants(v, err);
}

/* For the log: where a page differs. */
static void describe(uint64_t pfn, const uint8_t *now, const uint8_t *was)
{
    unsigned int from = 0, to = IMAGE_PAGE;

    while (now[from] == was[from]) from++;
    while (now[to - 1] == was[to - 1]) to--;
    log_info("page frame 0x%llx differs from 0x%x to 0x%x",
             (unsigned long long)pfn, from, to);
    for (unsigned int i = from & ~3u; i < to && i < from + 128; i += 4) {
        uint32_t a, b;

        memcpy(&a, was + i, sizeof(a));
        memcpy(&b, now + i, sizeof(b));
        if (a != b) log_info("  %03x: 0x%08x was 0x%08x", i, b, a);
    }
}

static bool is_zero(const uint8_t *p, size_t len)
{
    static const uint8_t zero[IMAGE_PAGE];

    return !memcmp(p, zero, len);
}

/* The area that excuses a word that differs; NULL: none. */
static const struct verify_area *excuse(const struct verify *v, uint64_t pfn,
                                        unsigned int at, uint32_t bits)
{
    for (unsigned int i = 0; i < v->n; i++) {
        const struct verify_area *a = &v->area[i];

        if (a->pfn != pfn || a->kind == VERIFY_IS_GRANT) continue;
        if (at < a->from || at >= a->from + a->len) continue;
        if (a->kind == VERIFY_IS_EVENT && bits & ~EVENT_BITS) continue;
        return a;
    }
    return NULL;
}

/* May the page differ as it does? Then it is counted once for each kind. */
static bool may_differ(struct verify *v, uint64_t pfn, const uint8_t *now,
                       const uint8_t *was)
{
    bool seen[VERIFY_KINDS] = { false };

    if (pfn == v->store || (pfn == v->console && is_zero(now, IMAGE_PAGE))) {
        v->may[VERIFY_IS_RING]++;
        return true;
    }
    for (unsigned int i = 0; i < v->n; i++)
        if (v->area[i].kind == VERIFY_IS_GRANT && v->area[i].pfn == pfn) {
            unsigned int from = v->area[i].from;

            v->may[VERIFY_IS_GRANT]++;
            return is_zero(now + from, IMAGE_PAGE - from);
        }
    for (unsigned int at = 0; at < IMAGE_PAGE; at += 4) {
        const struct verify_area *a;
        uint32_t x, y;

        memcpy(&x, was + at, sizeof(x));
        memcpy(&y, now + at, sizeof(y));
        if (x == y) continue;
        a = excuse(v, pfn, at, x ^ y);
        if (!a) return false;
        seen[a->kind] = true;
    }
    for (unsigned int kind = 0; kind < VERIFY_KINDS; kind++)
        v->may[kind] += seen[kind];
    return true;
}

static void compare_page(struct verify *v, uint64_t pfn, const uint8_t *now,
                         const uint8_t *was)
{
    if (now && !memcmp(now, was, IMAGE_PAGE)) return;
    if (now && may_differ(v, pfn, now, was)) return;
    if (now) describe(pfn, now, was);
    if (v->differs < VERIFY_FIRST) v->first[v->differs] = pfn;
    v->differs++;
}

int verify_run(struct verify *v, const struct image *img,
               struct xlc_error *err)
{
    uint64_t limit = image_limit(img);
    int errs[INPLACE_BATCH], rc = find_areas(v, err);

    if (rc) return rc;
    v->differs = 0;
    memset(v->may, 0, sizeof(v->may));
    for (uint64_t from = 0; from < limit;) {
        xen_pfn_t pfns[INPLACE_BATCH];
        unsigned int n = 0;
        uint8_t *p;

        for (; from < limit && n < INPLACE_BATCH; from++)
            if (image_page(img, from)) pfns[n++] = from;
        if (!n) break;
        p = xenforeignmemory_map(v->fmem, v->domid, PROT_READ, n, pfns,
                                 errs);
        for (unsigned int i = 0; i < n; i++)
            compare_page(v, pfns[i],
                         p && !errs[i] ? p + (size_t)i * IMAGE_PAGE : NULL,
                         image_page(img, pfns[i]));
        if (p) xenforeignmemory_unmap(v->fmem, p, n);
    }
    return 0;
}
