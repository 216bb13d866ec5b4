/*
 * A tool that is a WASI command and answers with text: {"min": 3, "max": 5, "mean": 4} on standard input gives
 * a line on which `=` reaches from the least to the greatest and `|` is the mean. Its answer is no JSON, so
 * whoever calls it gets a JSON string. See README.md for how to build and call it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 60 };

static char input[4096];

/* The number that is the value of `key` (with its quotes), within the line. */
static int number(const char *key) {
    const char *at = strstr(input, key);
    if (at == NULL || (at = strchr(at + strlen(key), ':')) == NULL) {
        fprintf(stderr, "scale: there is no number %s\n", key);
        exit(1);
    }
    long n = strtol(at + 1, NULL, 10);
    return n < 0 ? 0 : n >= WIDTH ? WIDTH - 1 : (int)n;
}

int main(void) {
    input[fread(input, 1, sizeof input - 1, stdin)] = '\0';
    int min = number("\"min\""), max = number("\"max\""), mean = number("\"mean\"");
    for (int i = 0; i <= max; i++) {
        putchar(i == mean ? '|' : i >= min ? '=' : '.');
    }
    putchar('\n');
    return 0;
}
