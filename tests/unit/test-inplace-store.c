/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-inplace-store.c - xenstored begins anew with a guest that is put back
 *
 * The ring page is here, and so are an oxenstored and a C xenstored that do
 * at an introduction what the real ones do to it; and dom0's event channels.
 */
#include <config.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xenstore.h>
#include <xen/io/xs_wire.h>

#include "inplace-store.h"
#include "tap.h"

enum kind {
    OXENSTORED,
    C_XENSTORED,
    SILENT,
    REFUSING,
};

/* What xenstored has of the guest. */
static struct {
    enum kind kind;
    unsigned int watches, half, transactions;
    unsigned int introduced, resumed;
    char nodes[256];
} st;

#define PORTS 64
#define FIRST 20 /* oxenstored's, when the domain was introduced first */

/*
 * dom0's event channels: which numbers are in use, by us, and by oxenstored,
 * which only knows the first that it had.
 * @thefts: so often somebody takes what oxenstored lets go of: xenconsoled,
 *          which keeps it until it is told of another channel, or a @stranger:
 *          another copy, which gives it back before our next filling if @kind
 * @lag: so many looks later xenconsoled does what it is told
 * @closed, @full: so often the channels can't be opened, or none but the first
 *                 can be bound
 */
static struct {
    bool used[PORTS], filled[PORTS], stranger, kind, told;
    unsigned int end, thefts, stolen, handles, lag, closed, full, bound;
} dom0;

static unsigned int lowest(void)
{
    unsigned int port = 1;

    while (dom0.used[port]) port++;
    if (port >= PORTS) abort();
    dom0.used[port] = true;
    return port;
}

static void rebind(void)
{
    dom0.used[dom0.end] = false;
    if (dom0.thefts && (dom0.stranger || !dom0.stolen)) {
        dom0.thefts--;
        dom0.stolen = lowest();
    }
    dom0.end = lowest();
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *log,
                                 unsigned int flags)
{
    (void)log, (void)flags;
    errno = EMFILE;
    if (dom0.closed && dom0.closed--) return NULL;
    if (dom0.handles++) abort();
    if (dom0.kind) dom0.used[dom0.stolen] = false;
    dom0.bound = 0;
    return (xenevtchn_handle *)&dom0;
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *xce,
                                                      uint32_t domid)
{
    unsigned int port;

    (void)xce, (void)domid;
    errno = ENOSPC;
    if (dom0.bound++ && dom0.full && dom0.full--) return -1;
    port = lowest();
    dom0.filled[port] = true;
    return (int)port;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
    (void)xce;
    if (!dom0.filled[port]) abort();
    dom0.used[port] = dom0.filled[port] = false;
    return 0;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
    for (unsigned int port = 0; port < PORTS; port++)
        if (dom0.filled[port]) xenevtchn_unbind(xce, port);
    dom0.handles--;
    return 0;
}

static void console_closes(void)
{
    dom0.used[dom0.stolen] = dom0.told = false;
    dom0.stolen = 0;
}

int xc_evtchn_status(xc_interface *xch, xc_evtchn_status_t *status)
{
    (void)xch;
    status->status = EVTCHNSTAT_interdomain;
    if (!status->dom) { /* who has oxenstored's number? */
        if (status->port != FIRST || dom0.end == FIRST) abort();
        if (dom0.told && !dom0.lag) console_closes();
        if (dom0.told) dom0.lag--;
        status->u.interdomain.dom = dom0.stranger ? 6 : 5;
        status->u.interdomain.port = 18;
        if (!dom0.used[FIRST]) status->status = EVTCHNSTAT_closed;
        return 0;
    }
    if (status->dom != 5 || status->port != 17) abort();
    status->u.interdomain.dom = 0;
    status->u.interdomain.port = dom0.end;
    return 0;
}

static union {
    uint8_t octets[4096];
    struct xenstore_domain_interface ring;
} page;

static void ox_looks(void)
{
    struct xenstore_domain_interface *r = &page.ring;
    struct xsd_sockmsg m, a = { .type = XS_RESET_WATCHES, .len = 3 };

    if (r->connection) { /* a reconnection: but not all watches */
        memset(r->req, 0xff, sizeof(r->req));
        memset(r->rsp, 0xff, sizeof(r->rsp));
        r->req_cons = r->req_prod = r->rsp_cons = r->rsp_prod = 0;
        r->connection = 0;
        st.half = st.transactions = 0;
        return;
    }
    if (r->req_prod - r->req_cons < sizeof(m) + 1) return;
    memcpy(&m, r->req, sizeof(m));
    r->req_cons = r->req_prod;
    if (st.half || m.type != XS_RESET_WATCHES || m.len != 1 || m.tx_id ||
        r->req[sizeof(m)]) return; /* no sense: no answer */
    st.watches = 0;
    a.req_id = m.req_id;
    memcpy(r->rsp, &a, sizeof(a));
    memcpy(r->rsp + sizeof(a), "OK", 3);
    r->rsp_prod = sizeof(a) + 3;
}

static void c_looks(void)
{
    struct xenstore_domain_interface *r = &page.ring;

    st.watches = st.half = st.transactions = 0;
    r->req_cons = r->req_prod = r->rsp_cons = r->rsp_prod = 0;
    r->connection = 0;
}

bool xs_introduce_domain(struct xs_handle *h, unsigned int domid,
                         unsigned long mfn, unsigned int port)
{
    (void)h;
    if (domid != 5 || mfn != 0xfeffc || port != 17) abort();
    st.introduced++;
    errno = EACCES;
    if (st.kind != REFUSING) rebind();
    switch (st.kind) {
    case OXENSTORED:
        if (dom0.end == FIRST) ox_looks();
        return true;
    case C_XENSTORED: c_looks(); return true;
    case SILENT: return true;
    default: return false;
    }
}

bool xs_resume_domain(struct xs_handle *h, unsigned int domid)
{
    (void)h, (void)domid;
    st.resumed++;
    return true;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path,
              const void *data, unsigned int len)
{
    size_t n = strlen(st.nodes);

    (void)h, (void)t;
    errno = ENOSPC;
    if (st.kind == REFUSING) return false;
    snprintf(st.nodes + n, sizeof(st.nodes) - n, "%s=%.*s;", path, (int)len,
             (const char *)data);
    /* xenconsoled's node; of a channel that it has it need not be told */
    if (strstr(path, "/console/port"))
        dom0.told = dom0.stolen && !dom0.stranger && len == 1 &&
                    !memcmp(data, "0", 1);
    return true;
}

void *xenforeignmemory_map(xenforeignmemory_handle *f, uint32_t dom, int prot,
                           size_t n, const xen_pfn_t arr[], int err[])
{
    (void)f, (void)prot;
    if (dom != 5 || n != 1 || arr[0] != 0xfeffc) abort();
    err[0] = 0;
    return &page;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *f, void *addr, size_t n)
{
    (void)f, (void)addr, (void)n;
    return 0;
}

static void begin(enum kind kind)
{
    memset(&page, 0, sizeof(page));
    memset(&st, 0, sizeof(st));
    st.kind = kind;
    st.watches = 3;
    st.transactions = 1;
    st.half = 1;
    memset(&dom0, 0, sizeof(dom0));
    for (unsigned int port = 1; port <= FIRST; port++) dom0.used[port] = true;
    dom0.end = FIRST;
}

/* Zero but for what xenstored offers. */
static bool is_clean(void)
{
    uint32_t features = page.ring.server_features;
    bool clean = true;

    page.ring.server_features = 0;
    for (size_t i = 0; i < sizeof(page); i++)
        clean = clean && !page.octets[i];
    page.ring.server_features = features;
    return clean && features == XENSTORE_SERVER_FEATURE_RECONNECTION;
}

static int rejoin(struct xlc_error *err)
{
    const struct inplace_ports p = { NULL, 5, 17, FIRST };

    return inplace_store_rejoin(NULL, NULL, &p, 0xfeffc,
                                XENSTORE_SERVER_FEATURE_RECONNECTION, err);
}

/* oxenstored's end has its number, and nothing else of dom0's is taken. */
static bool ports_kept(unsigned int used)
{
    for (unsigned int port = 1; port < PORTS; port++)
        used -= dom0.used[port];
    return dom0.end == FIRST && !used && !dom0.handles;
}

/* There is a lower number that oxenstored must not get. */
static void test_fill(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    begin(OXENSTORED);
    dom0.used[7] = dom0.used[9] = false;
    dom0.closed = 4;
    ok(!rejoin(&e) && ports_kept(FIRST - 2) && st.introduced == 2,
       "no introduction while the channels can't be opened %s", e.msg);
    begin(OXENSTORED);
    dom0.used[7] = dom0.used[9] = false;
    dom0.full = 4;
    ok(!rejoin(&e) && ports_kept(FIRST - 2) && st.introduced == 2,
       "none while not all lower numbers are taken %s", e.msg);
    begin(C_XENSTORED);
    dom0.used[7] = false;
    dom0.closed = 100;
    ok(!rejoin(&e) && is_clean() && st.introduced == 2 && dom0.closed == 90,
       "five attempts, and only the last does without %s", e.msg);
    begin(C_XENSTORED);
    dom0.used[7] = dom0.used[9] = false;
    dom0.full = 100;
    ok(!rejoin(&e) && is_clean() && st.introduced == 2 && !dom0.handles,
       "so it is if they can't be bound %s", e.msg);
}

static void test_thieves(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    begin(OXENSTORED);
    dom0.used[3] = false;
    dom0.thefts = 1;
    dom0.lag = 3;
    ok(!rejoin(&e) && ports_kept(FIRST - 1) && st.introduced == 3 &&
       !strcmp(st.nodes, "/local/domain/5/console/port=0;"),
       "xenconsoled is made to let go of it %s", e.msg);
    begin(OXENSTORED);
    dom0.used[3] = false;
    dom0.thefts = 2;
    dom0.stranger = dom0.kind = true;
    ok(!rejoin(&e) && ports_kept(FIRST - 1) && st.introduced == 4 &&
       !*st.nodes, "another copy gives it back by itself %s", e.msg);
    begin(C_XENSTORED);
    dom0.thefts = 1;
    dom0.stranger = true;
    ok(!rejoin(&e) && is_clean() && st.introduced == 10 && !*st.nodes,
       "xenconsoled does not pay for a stranger %s", e.msg);
    begin(C_XENSTORED);
    dom0.thefts = 1;
    dom0.lag = 1000000;
    ok(!rejoin(&e) && is_clean() && st.introduced == 2,
       "nor does one that hangs hold things up %s", e.msg);
}

static void test_ports(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    begin(OXENSTORED);
    dom0.used[7] = dom0.used[9] = false; /* a domain has gone */
    ok(!rejoin(&e) && ports_kept(FIRST - 2) && st.introduced == 2,
       "oxenstored's end keeps its number where lower ones are free %s",
       e.msg);
    begin(OXENSTORED);
    dom0.used[FIRST] = false;
    dom0.used[FIRST + 5] = true;
    dom0.end = FIRST + 5;
    ok(!rejoin(&e) && ports_kept(FIRST) && st.introduced == 2,
       "it gets it back if it was lost before %s", e.msg);
    begin(C_XENSTORED);
    dom0.used[FIRST - 1] = false;
    dom0.used[FIRST + 1] = true;
    dom0.thefts = 100;
    ok(!rejoin(&e) && is_clean(), "the C xenstored needs no number %s",
       e.msg);
}

int main(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    begin(OXENSTORED);
    ok(!rejoin(&e) && !st.watches && !st.half && !st.transactions,
       "oxenstored forgets watches, transactions and half a request %s",
       e.msg);
    ok(is_clean() && st.introduced == 2 && st.resumed == 1,
       "the ring is as the guest wants it, and keeps what is offered");
    begin(C_XENSTORED);
    ok(!rejoin(&e) && !st.watches && !st.half && !st.transactions &&
       is_clean(), "the C xenstored does, too, without an answer %s", e.msg);
    begin(REFUSING);
    ok(rejoin(&e) == -EACCES && strstr(e.msg, "xenstored does not take "
       "domain 5 again"), "%s", e.msg);
    begin(SILENT);
    xlc_error_clear(&e);
    ok(rejoin(&e) == -ETIMEDOUT && strstr(e.msg, "xenstored did not "
       "reconnect within"), "%s", e.msg);

    begin(OXENSTORED);
    ok(!inplace_store_nodes(NULL, 5, 17, &e) &&
       !inplace_store_console(NULL, 5, 18, &e) && !strcmp(st.nodes,
       "/local/domain/5/store/port=17;/local/domain/5/control/shutdown=;"
       "/local/domain/5/console/port=18;"), "%s", st.nodes);
    begin(REFUSING);
    xlc_error_clear(&e);
    ok(inplace_store_nodes(NULL, 5, 17, &e) == -ENOSPC, "%s", e.msg);

    begin(OXENSTORED);
    page.ring.req_prod = 40; /* nobody will read it: not for ever */
    page.ring.server_features = XENSTORE_SERVER_FEATURE_ERROR;
    ok(inplace_store_drain(NULL, 5, 0xfeffc) ==
       XENSTORE_SERVER_FEATURE_ERROR && page.ring.req_prod == 40 &&
       !page.ring.req_cons,
       "a request that is never read does not hold things up");
    test_ports();
    test_fill();
    test_thieves();
    return done_testing();
}
