/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * test-svmdisks.c - The disks of a copy that is a domain, before plugins that
 * only write down what they are asked
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disks.h"
#include "svmdisks.h"
#include "tap.h"

#define FIRST 1000u

/**
 * now - the plugins
 * @log: what they were asked: disk, question, parameter
 * @fail: this question fails with @status, @fails times, on disk @disk
 */
static struct {
    char log[1024];
    enum diskctl_op fail;
    unsigned int disk, fails;
    int status;
} now;

static struct disks d;

static const char *op_name(enum diskctl_op op)
{
    switch (op) {
    case DISKCTL_SVM_OPEN: return "open";
    case DISKCTL_CHECKPOINT: return "drop";
    case DISKCTL_SVM_CLOSE: return "close";
    default: abort();
    }
}

uint64_t disk_epoch(const struct disks *disks, uint64_t n)
{
    return disks->list.first + n - 1;
}

int disks_ask(struct disks *disks, unsigned int i, enum diskctl_op op,
              uint64_t a, uint64_t b, int fd, struct diskctl_status *st,
              struct xlc_error *err)
{
    size_t len = strlen(now.log);

    if (disks != &d || fd >= 0 || st) abort();
    if ((op == DISKCTL_CHECKPOINT) != (b > 0)) abort();
    snprintf(now.log + len, sizeof(now.log) - len, "%u %s %u; ", i,
             op_name(op), (unsigned int)a);
    if (!now.fails || op != now.fail || i != now.disk) return 0;
    now.fails--;
    return xlc_error_set(err, now.status, "disk %u says no", i);
}

static void begin(void)
{
    memset(&now, 0, sizeof(now));
    memset(&d, 0, sizeof(d));
    d.list.n = 2;
    d.list.first = FIRST;
    for (unsigned int i = 0; i < 2; i++) {
        snprintf(d.at[i].folder, sizeof(d.at[i].folder),
                 "/tmp/xl-colo-svmdisks-XXXXXX");
        if (!mkdtemp(d.at[i].folder)) abort();
    }
}

static const char *note(unsigned int i, const char *name)
{
    static char text[64];
    char path[192];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", d.at[i].folder, name);
    f = fopen(path, "re");
    if (!f) return NULL;
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    return text;
}

static void end(void)
{
    for (unsigned int i = 0; i < 2; i++) {
        char path[192];

        snprintf(path, sizeof(path), "%s/keep", d.at[i].folder);
        unlink(path);
        snprintf(path, sizeof(path), "%s/copy", d.at[i].folder);
        unlink(path);
        rmdir(d.at[i].folder);
    }
}

/* What the plugins were asked since the last time. */
static bool asked(const char *what)
{
    bool same = !strcmp(now.log, what);

    if (!same) printf("# asked: %s\n", now.log);
    now.log[0] = '\0';
    return same;
}

static void test_life(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    begin();
    ok(!svmdisks_open(&d, 7, 1, &e) &&
       asked("0 open 0; 0 drop 1000; 1 open 0; 1 drop 1000; "),
       "each is opened, and begins at the epoch %s", e.msg);
    ok(note(0, "copy") && !strcmp(note(0, "copy"), "7\n") && note(1, "copy") &&
       note(1, "keep"), "the domain is noted for who attaches it, and that a "
       "detach is not the end");
    ok(!svmdisks_checkpoint(&d, 5, &e) && asked("0 drop 1004; 1 drop 1004; "),
       "an epoch: what the copy wrote is dropped on all");
    ok(!svmdisks_settle(&d, true, &e) && asked("") && !svmdisks_taken(&d),
       "a copy that runs on keeps what it wrote");
    ok(!svmdisks_settle(&d, false, &e) && asked("0 close 0; 1 close 0; ") &&
       !note(0, "copy"), "one that does not has none");
    ok(!svmdisks_settle(&d, false, &e) && !svmdisks_checkpoint(&d, 5, &e) &&
       asked(""), "nor is anything dropped after that");
    svmdisks_close(&d);
    ok(asked(""), "and there is nothing to close");
    end();
}

static void test_taken(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    begin();
    if (svmdisks_open(&d, 7, 1, &e)) abort();
    now.log[0] = '\0';
    d.at[0].taken = true;
    ok(svmdisks_taken(&d), "one was taken over");
    ok(!svmdisks_checkpoint(&d, 5, &e) && asked("1 drop 1004; "),
       "it is not put back, the other one is");
    ok(!svmdisks_settle(&d, false, &e) && asked("1 close 0; "),
       "nor closed");
    d.at[1].svm = d.at[1].taken = true;
    svmdisks_close(&d);
    ok(asked("") && !note(0, "copy") && !d.at[0].svm,
       "after the takeover only the note goes");
    end();
}

/* A takeover that was asked for, and not answered: it may be that what the
 * copy wrote is kept. */
static void test_asked(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    begin();
    if (svmdisks_open(&d, 7, 1, &e)) abort();
    now.log[0] = '\0';
    d.at[0].asked = true;
    ok(svmdisks_taken(&d), "one may have been taken over");
    svmdisks_close(&d);
    ok(asked("1 close 0; ") && !note(0, "copy") && d.at[0].svm &&
       !d.at[1].svm, "it is not closed before its takeover is taken back");
    svmdisks_close(&d);
    ok(asked(""), "nor by another call");
    svmdisks_forget(&d, 0, false);
    ok(asked("") && !d.at[0].svm, "nor after that");
    d.at[0].svm = true;
    svmdisks_forget(&d, 0, true);
    svmdisks_forget(&d, 0, true);
    ok(asked("0 close 0; "), "but if there was none, once");
    end();
}

static void test_faults(void)
{
    struct xlc_error e = XLC_ERROR_INIT;

    begin();
    now.fail = DISKCTL_SVM_OPEN;
    now.disk = now.fails = 1;
    now.status = -ENOENT;
    ok(svmdisks_open(&d, 7, 1, &e) == -ENOENT, "one can't be opened: %s",
       e.msg);
    now.log[0] = '\0';
    svmdisks_close(&d);
    ok(asked("0 close 0; 1 close 0; ") && !note(0, "copy") &&
       !note(1, "copy"), "then what was opened is closed");
    svmdisks_close(&d);
    ok(asked(""), "once");
    end();

    begin();
    xlc_error_clear(&e);
    if (svmdisks_open(&d, 7, 1, &e)) abort();
    now.log[0] = '\0';
    now.fail = DISKCTL_CHECKPOINT;
    now.fails = 2;
    now.status = -EBUSY;
    ok(!svmdisks_checkpoint(&d, 2, &e) &&
       asked("0 drop 1001; 0 drop 1001; 0 drop 1001; 1 drop 1001; "),
       "a request of somebody's is waited for %s", e.msg);
    now.fails = UINT32_MAX;
    ok(svmdisks_checkpoint(&d, 3, &e) == -EBUSY && !strstr(now.log, "1 drop"),
       "but not for ever: %s", e.msg);
    xlc_error_clear(&e);
    now.log[0] = '\0';
    now.status = -EIO;
    ok(svmdisks_checkpoint(&d, 3, &e) == -EIO && asked("0 drop 1002; "),
       "another error is the end of the try: %s", e.msg);
    xlc_error_clear(&e);
    now.fails = 0;
    ok(!svmdisks_checkpoint(&d, 3, &e) &&
       asked("0 drop 1002; 1 drop 1002; "), "and is tried again as a whole");
    now.fail = DISKCTL_SVM_CLOSE;
    now.disk = now.fails = 1;
    ok(svmdisks_settle(&d, false, &e) == -EIO &&
       asked("0 close 0; 1 close 0; "), "one that can't be closed: %s", e.msg);
    xlc_error_clear(&e);
    now.fails = 1;
    now.status = -EBUSY;
    ok(!svmdisks_settle(&d, false, &e) && asked("1 close 0; 1 close 0; "),
       "alone is closed again, and waits for a request, too");
    end();

    begin();
    end(); /* the folders are gone */
    ok(svmdisks_open(&d, 7, 1, &e) == -ENOENT && strstr(e.msg, "/keep") &&
       asked(""), "nothing serves them: %s", e.msg);
}

int main(void)
{
    test_life();
    test_taken();
    test_asked();
    test_faults();
    return done_testing();
}
