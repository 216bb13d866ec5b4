/*
 * Counts lines, words and bytes, like wc: of standard input, or of each file named as an argument.
 * A WASI command: files are opened through the directories that the host hands over, and nothing else
 * is within reach. See README.md for how to build and run it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct counts {
    uint64_t lines;
    uint64_t words;
    uint64_t bytes;
};

static const char HELP[] =
    "usage: wordcount [FILE...]\n"
    "\n"
    "Prints lines, words and bytes of each FILE, and their total when there are several.\n"
    "Without FILE, or when FILE is -, it reads standard input.\n"
    "Exits with 1 when a file cannot be read, with 2 for an option it does not know.\n";

static bool is_space(unsigned char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Counts everything up to the end of `fd`. Returns false, with errno set, when reading fails. */
static bool count(int fd, struct counts *out) {
    static unsigned char buffer[16 * 1024];
    bool in_word = false;
    for (;;) {
        ssize_t got = read(fd, buffer, sizeof buffer);
        if (got < 0) {
            return false;
        }
        if (got == 0) {
            return true;
        }
        out->bytes += (uint64_t)got;
        for (ssize_t i = 0; i < got; i++) {
            unsigned char c = buffer[i];
            out->lines += c == '\n';
            bool space = is_space(c);
            out->words += in_word ? 0 : !space;
            in_word = !space;
        }
    }
}

static void print(const struct counts *c, const char *name) {
    printf("%8" PRIu64 "%8" PRIu64 "%8" PRIu64 "%s%s\n", c->lines, c->words, c->bytes, *name ? " " : "", name);
}

/* Counts one file, or standard input for `-`. Prints its line, or says on standard error why not. */
static bool count_named(const char *name, struct counts *total) {
    bool is_stdin = strcmp(name, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY);
    struct counts c = {0};
    bool ok = fd >= 0 && count(fd, &c);
    if (!ok) {
        fprintf(stderr, "wordcount: %s: %s\n", name, strerror(errno));
    } else {
        print(&c, name);
        total->lines += c.lines;
        total->words += c.words;
        total->bytes += c.bytes;
    }
    if (fd >= 0 && !is_stdin) {
        close(fd);
    }
    return ok;
}

int main(int argc, char **argv) {
    int first = 1;
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(HELP, stdout);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--") == 0) {
        first = 2;
    } else if (argc > 1 && argv[1][0] == '-' && argv[1][1] != '\0') {
        fprintf(stderr, "wordcount: unknown option %s\n%s", argv[1], HELP);
        return 2;
    }

    struct counts total = {0};
    if (first >= argc) {
        if (!count(STDIN_FILENO, &total)) {
            fprintf(stderr, "wordcount: standard input: %s\n", strerror(errno));
            return 1;
        }
        print(&total, "");
        return fflush(stdout) == 0 ? 0 : 1;
    }

    bool all_read = true;
    for (int i = first; i < argc; i++) {
        all_read &= count_named(argv[i], &total);
    }
    if (argc - first > 1) {
        print(&total, "total");
    }
    return all_read && fflush(stdout) == 0 ? 0 : 1;
}
