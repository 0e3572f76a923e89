#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# token-chat.py - collect words that the server chooses at random and keeps
"""One TCP connection.  For each line the server adds a random word, which it
remembers, and says it.  A word that was said is a promise: whoever is the
server later remembers it.  The report has all of them, in order."""

from chat import Chat, chat_parser


class Tokens(Chat):
    """One program run."""

    def __init__(self, args):
        super().__init__(args)
        self.tokens = []

    def exchange(self, sock):
        """Send a line, and take the word that comes with it."""
        line = b"%d" % self.lines
        answer = self.ask(sock, line + b"\n", lambda a: a.endswith(b"\n"))
        words = answer.decode().split()
        if len(words) != 2 or words[0] != line.decode():
            self.violations.append(f"sent {line!r}, got {answer[:60]!r}")
        self.tokens.append(words[-1] if words else "")

    def main(self):
        """Talk until the end; report."""
        self.chat()
        self.run.finish(not self.violations and self.tokens,
                        tokens=self.tokens, resets=self.resets,
                        violations=self.violations[:20],
                        **self.gaps.report())


def main():
    """Run the command line."""
    top = chat_parser(__doc__.splitlines()[0], port=14, interval=0.5)
    Tokens(top.parse_args()).main()


if __name__ == "__main__":
    main()
