/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image.c - A guest's whole last checkpoint, kept in memory; see image.h */
#include <config.h>

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/hvm/params.h>

#include "cursor.h"
#include "hvmctx.h"
#include "image-rec.h"
#include "image.h"

/* Room for the pages of this many page frames stays for the next epoch. */
#define KEEP_PAGES 16384u

/**
 * struct machine - what an epoch says besides pages
 * @context: of @context_len octets, @context_room allocated
 * @params: a value each, if @has_param
 */
struct machine {
    uint8_t *context;
    size_t context_len, context_room;
    struct image_tsc tsc;
    bool has_context, has_tsc, has_params;
    bool has_param[IMAGE_PARAMS];
    uint64_t params[IMAGE_PARAMS];
};

/**
 * struct image - see image.h
 * @base: a page for each page frame number; memory where @touched says so
 * @present: bits: the page frame has a page
 * @changed: bits: since image_settle()
 * @aside, @aside_pfn: pages of the epoch that is arriving, @n_aside of them;
 *                     @aside_high: how many were written to since the last trim
 * @gone: page frames that the epoch says have no page, @n_gone of them
 * @fresh: pages that it brings where there was none
 * @rec: the stream, record by record
 * @now: the machine state of the image, @next: of the epoch that is arriving
 * @epochs: committed; @bad: the stream is of no use
 * @preview: @next is shown, not @now
 */
struct image {
    struct image_limits lim;
    uint8_t *base, *aside;
    uint64_t *touched, *present, *changed;
    uint64_t *aside_pfn, *gone;
    uint64_t n_aside, aside_high, n_gone, n_touched, n_present;
    struct image_rec rec;
    struct machine now, next;
    uint64_t epochs;
    bool bad, preview;
};

static bool bit(const uint64_t *map, uint64_t n)
{
    return map[n / 64] >> n % 64 & 1;
}

static void set_bit(uint64_t *map, uint64_t n)
{
    map[n / 64] |= (uint64_t)1 << n % 64;
}

static void clear_bit(uint64_t *map, uint64_t n)
{
    map[n / 64] &= ~((uint64_t)1 << n % 64);
}

static size_t map_size(const struct image *img)
{
    return (size_t)(img->lim.pfns + 63) / 64 * 8;
}

uint64_t image_pfns(uint64_t memory)
{
    return (memory + ((uint64_t)4 << 30) + IMAGE_PAGE - 1) / IMAGE_PAGE;
}

/* Address space that costs memory where it is written to. */
static void *reserve(uint64_t octets)
{
    void *p = mmap(NULL, octets, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static void release(void *p, uint64_t octets)
{
    if (p) munmap(p, octets);
}

int image_new(struct image **img_r, const struct image_limits *limits,
              struct xlc_error *err)
{
    struct image *img = calloc(1, sizeof(*img));

    if (!img) return xlc_error_set(err, -ENOMEM, "no memory");
    img->lim = *limits;
    img->base = reserve(limits->pfns * IMAGE_PAGE);
    img->aside = reserve(limits->epoch_pages * IMAGE_PAGE);
    img->aside_pfn = reserve(limits->epoch_pages * 8);
    img->gone = reserve(limits->epoch_pages * 8);
    img->touched = reserve(map_size(img));
    img->present = reserve(map_size(img));
    img->changed = reserve(map_size(img));
    image_rec_init(&img->rec);
    if (!img->base || !img->aside || !img->aside_pfn || !img->gone ||
        !img->touched || !img->present || !img->changed) {
        image_free(img);
        return xlc_error_set(err, -ENOMEM, "no address space for an image "
                             "of %llu pages",
                             (unsigned long long)limits->pfns);
    }
    *img_r = img;
    return 0;
}

void image_free(struct image *img)
{
    if (!img) return;
    release(img->base, img->lim.pfns * IMAGE_PAGE);
    release(img->aside, img->lim.epoch_pages * IMAGE_PAGE);
    release(img->aside_pfn, img->lim.epoch_pages * 8);
    release(img->gone, img->lim.epoch_pages * 8);
    release(img->touched, map_size(img));
    release(img->present, map_size(img));
    release(img->changed, map_size(img));
    image_rec_dispose(&img->rec);
    free(img->now.context);
    free(img->next.context);
    free(img);
}

/* A place for the page frame's page: its memory is real from here on. */
static int touch(struct image *img, uint64_t pfn, struct xlc_error *err)
{
    if (bit(img->touched, pfn)) return 0;
    if (img->n_touched == img->lim.pages)
        return xlc_error_set(err, -ENOMEM, "the guest has more than %llu "
                             "pages", (unsigned long long)img->lim.pages);
    img->n_touched++;
    set_bit(img->touched, pfn);
    img->base[pfn * IMAGE_PAGE] = 0;
    return 0;
}

/* What a committed page frame is now: @page, or absent. */
static void set_page(struct image *img, uint64_t pfn, const uint8_t *page)
{
    bool was = bit(img->present, pfn);

    if (!page && !was) return;
    if (was != !!page) {
        if (page) {
            set_bit(img->present, pfn);
            img->n_present++;
        } else {
            clear_bit(img->present, pfn);
            img->n_present--;
        }
    }
    if (page) memcpy(img->base + pfn * IMAGE_PAGE, page, IMAGE_PAGE);
    set_bit(img->changed, pfn);
}

/* A checked page frame of the stream; @page: NULL if it has none. */
static int take_page(struct image *img, uint64_t pfn, const uint8_t *page,
                     struct xlc_error *err)
{
    int rc = page ? touch(img, pfn, err) : 0;

    if (rc) return rc;
    if (!img->epochs) {
        set_page(img, pfn, page);
        return 0;
    }
    if ((page ? img->n_aside : img->n_gone) == img->lim.epoch_pages)
        return xlc_error_set(err, -ENOMEM, "an epoch of more than %llu pages",
                             (unsigned long long)img->lim.epoch_pages);
    if (!page) {
        img->gone[img->n_gone++] = pfn;
        return 0;
    }
    memcpy(img->aside + img->n_aside * IMAGE_PAGE, page, IMAGE_PAGE);
    img->aside_pfn[img->n_aside++] = pfn;
    if (img->n_aside > img->aside_high) img->aside_high = img->n_aside;
    return 0;
}

static int on_pages(struct image *img, const uint8_t *body, size_t len,
                    struct xlc_error *err)
{
    struct image_pages pages;
    uint64_t pfn;
    int rc = image_rec_pages(&pages, body, len, img->lim.pfns, err);

    while (!rc && image_rec_page(&pages, &pfn, &body))
        rc = take_page(img, pfn, body, err);
    return rc;
}

static int on_params(struct image *img, const uint8_t *body, size_t len,
                     struct xlc_error *err)
{
    struct rcur c = { .p = body, .left = len };
    uint32_t count = image_le32(&c);

    rcur_zero(&c, 4);
    if (c.bad || (uint64_t)count * 16 != c.left)
        return xlc_error_set(err, -EPROTO, "HVM_PARAMS of %zu octets", len);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t index = image_le64(&c), value = image_le64(&c);

        if (index >= IMAGE_PARAMS)
            return xlc_error_set(err, -EPROTO, "HVM parameter %llu",
                                 (unsigned long long)index);
        if ((index == HVM_PARAM_STORE_PFN || index == HVM_PARAM_CONSOLE_PFN)
            && value >= img->lim.pfns)
            return xlc_error_set(err, -EPROTO, "HVM parameter %llu names "
                                 "page frame 0x%llx of 0x%llx",
                                 (unsigned long long)index,
                                 (unsigned long long)value,
                                 (unsigned long long)img->lim.pfns);
        img->next.params[index] = value;
        img->next.has_param[index] = true;
    }
    img->next.has_params = true;
    return 0;
}

static int on_context(struct image *img, const uint8_t *body, size_t len,
                      struct xlc_error *err)
{
    struct machine *m = &img->next;
    int rc = hvmctx_check(body, len, img->lim.vcpus, err);

    if (rc) return rc;
    if (len > m->context_room) {
        uint8_t *p = realloc(m->context, len);

        if (!p) return xlc_error_set(err, -ENOMEM, "no memory");
        m->context = p;
        m->context_room = len;
    }
    memcpy(m->context, body, len);
    m->context_len = len;
    m->has_context = true;
    return 0;
}

static int on_tsc(struct image *img, const uint8_t *body, size_t len,
                  struct xlc_error *err)
{
    struct rcur c = { .p = body, .left = len };
    struct image_tsc *t = &img->next.tsc;

    t->mode = image_le32(&c);
    t->khz = image_le32(&c);
    t->nsec = image_le64(&c);
    t->incarnation = image_le32(&c);
    rcur_zero(&c, 4);
    if (!rcur_done(&c))
        return xlc_error_set(err, -EPROTO, "TSC_INFO of %zu octets, or with "
                             "reserved ones", len);
    img->next.has_tsc = true;
    return 0;
}

static int on_record(void *opaque, uint32_t type, const uint8_t *body,
                     size_t len, struct xlc_error *err)
{
    switch (type) {
    case IMAGE_REC_PAGE_DATA: return on_pages(opaque, body, len, err);
    case IMAGE_REC_TSC_INFO: return on_tsc(opaque, body, len, err);
    case IMAGE_REC_HVM_CONTEXT: return on_context(opaque, body, len, err);
    case IMAGE_REC_HVM_PARAMS: return on_params(opaque, body, len, err);
    default: return 0;
    }
}

int image_feed(struct image *img, const uint8_t *data, size_t len,
               struct xlc_error *err)
{
    int rc;

    if (img->bad)
        return xlc_error_set(err, -EPROTO, "the stream of the image is of "
                             "no use any more");
    rc = image_rec_feed(&img->rec, data, len, on_record, img, err);
    img->bad = rc != 0;
    return rc;
}

bool image_complete(const struct image *img)
{
    return !img->bad && img->rec.complete;
}

int image_check(const struct image *img, struct xlc_error *err)
{
    const struct machine *m = &img->next;

    if (!image_complete(img))
        return xlc_error_set(err, -EPROTO, "the epoch is not whole");
    if (!m->has_context || !m->has_tsc || !m->has_params)
        return xlc_error_set(err, -EPROTO, "an epoch without %s",
                             !m->has_context ? "HVM_CONTEXT" :
                             !m->has_tsc ? "TSC_INFO" : "HVM_PARAMS");
    if (!m->has_param[HVM_PARAM_STORE_PFN] ||
        !m->has_param[HVM_PARAM_CONSOLE_PFN])
        return xlc_error_set(err, -EPROTO, "an epoch that does not name the "
                             "pages of xenstore and of the console");
    return 0;
}

/* Ready for the first octet of another epoch. */
static void next_epoch(struct image *img)
{
    uint8_t *context = img->next.context;
    size_t room = img->next.context_room;

    img->next = (struct machine){ .context = context, .context_room = room };
    img->n_aside = img->n_gone = 0;
    img->rec.complete = false;
    img->preview = false;
}

/* Give back what a large epoch took. */
static void trim(struct image *img)
{
    uint64_t octets;

    if (img->aside_high <= KEEP_PAGES) return;
    octets = (img->aside_high - KEEP_PAGES) * IMAGE_PAGE;
    madvise(img->aside + (uint64_t)KEEP_PAGES * IMAGE_PAGE, octets,
            MADV_DONTNEED);
    img->aside_high = KEEP_PAGES;
}

int image_commit(struct image *img, struct xlc_error *err)
{
    struct machine m;
    int rc = image_check(img, err);

    if (rc) return rc;
    for (uint64_t i = 0; i < img->n_gone; i++)
        set_page(img, img->gone[i], NULL);
    for (uint64_t i = 0; i < img->n_aside; i++)
        set_page(img, img->aside_pfn[i], img->aside + i * IMAGE_PAGE);
    m = img->now;
    img->now = img->next;
    img->next = m;
    img->epochs++;
    next_epoch(img);
    trim(img);
    return 0;
}

void image_abort(struct image *img)
{
    bool started = img->epochs != 0;

    if (!started) { /* what is in @base is of no whole epoch */
        madvise(img->base, img->lim.pfns * IMAGE_PAGE, MADV_DONTNEED);
        memset(img->touched, 0, map_size(img));
        memset(img->present, 0, map_size(img));
        memset(img->changed, 0, map_size(img));
        img->n_touched = img->n_present = 0;
    }
    image_rec_restart(&img->rec, started);
    img->bad = false;
    next_epoch(img);
    trim(img);
}

bool image_whole(const struct image *img)
{
    return img->epochs != 0;
}

uint64_t image_epochs(const struct image *img)
{
    return img->epochs;
}

const uint8_t *image_page(const struct image *img, uint64_t pfn)
{
    if (pfn >= img->lim.pfns || !bit(img->present, pfn)) return NULL;
    return img->base + pfn * IMAGE_PAGE;
}

uint64_t image_limit(const struct image *img)
{
    return img->lim.pfns;
}

uint64_t image_pages(const struct image *img)
{
    return img->n_present;
}

const uint64_t *image_changed(const struct image *img)
{
    return img->changed;
}

void image_settle(struct image *img)
{
    memset(img->changed, 0, map_size(img));
}

void image_preview(struct image *img, bool on)
{
    img->preview = on && !image_check(img, NULL);
}

static const struct machine *shown(const struct image *img)
{
    return img->preview ? &img->next : &img->now;
}

const uint8_t *image_context(const struct image *img, size_t *len_r)
{
    *len_r = shown(img)->context_len;
    return shown(img)->context;
}

const struct image_tsc *image_tsc(const struct image *img)
{
    return &shown(img)->tsc;
}

bool image_param(const struct image *img, unsigned int index,
                 uint64_t *value_r)
{
    if (index >= IMAGE_PARAMS || !shown(img)->has_param[index]) return false;
    *value_r = shown(img)->params[index];
    return true;
}

uint64_t image_memory(const struct image *img)
{
    return (img->n_touched + img->aside_high) * IMAGE_PAGE;
}
