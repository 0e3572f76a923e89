/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* number.h - Numbers that people and other programs write */
#ifndef XLC_NUMBER_H
#define XLC_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/**
 * number_parse() - a decimal number, digits only
 *
 * Return: true if it is one and fits; *@v_r is set only then
 */
bool number_parse(const char *s, uint64_t *v_r);

#endif
