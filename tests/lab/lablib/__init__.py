# SPDX-License-Identifier: LGPL-2.1-or-later
# lablib - the parts of tests/lab/lab, one idea a module
