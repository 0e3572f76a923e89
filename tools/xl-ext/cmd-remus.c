/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-remus.c - xl remus, xl remus-receive */
#include <config.h>

#include <stdio.h>

#include "remus-opts.h"
#include "xl.h"

int main_remus(const struct xl_globals *g, int argc, char **argv)
{
    struct xlc_error err = XLC_ERROR_INIT;
    struct remus_args a;
    enum xlc_outcome o;

    if (remus_args_parse(&a, argc, argv, &err)) {
        remus_args_free(&a);
        return xl_usage("remus", &err);
    }
    for (unsigned int i = 0; i < a.notes.n; i++)
        xl_say("remus", "%s", a.notes.text[i]);
    a.o.verbose |= g->verbose > 0;
    o = xlc_protect(&a.o);
    xl_say("remus", "%s", xlc_outcome_text(o));
    remus_args_free(&a);
    return (int)o;
}

static const struct opt receive_opts[] = {
    { 0, "verbose", NULL, OPT_FLAG, .where = 0,
      .text = "Say what is done in detail." },
};

void help_receive(FILE *out)
{
    opts_help(out, receive_opts, 1);
}

int main_receive(const struct xl_globals *g, int argc, char **argv)
{
    struct xlc_error err = XLC_ERROR_INIT;
    bool verbose = g->verbose > 0;
    int first = opts_parse(receive_opts, 1, &verbose, NULL, argc, argv,
                           &err);

    if (first >= 0 && first < argc)
        first = xlc_error_set(&err, -EINVAL, "%.64s: one argument too many",
                              argv[first]);
    if (first < 0) return xl_usage("remus-receive", &err);
    return xlc_receive(verbose);
}
