/*
 * A tool that is a WASI command: {"text": "…"} on standard input, {"numbers": [3, 5, …]} on standard output,
 * the length of each word in characters. A text that is missing is a failure: it says so on standard error
 * and exits with 1. See README.md for how to build and call it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static char input[1 << 20];

static const char *skip_space(const char *at) {
    return at + strspn(at, " \t\r\n");
}

/* Where the string that is the value of "text" begins, after its quote; NULL if there is none. The host has
   compared the input with a schema if it was given one, so this need not be a whole parser. */
static const char *text_of(const char *json) {
    for (const char *at = json; (at = strstr(at, "\"text\"")) != NULL;) {
        at = skip_space(at + strlen("\"text\""));
        if (*at == ':') {
            at = skip_space(at + 1);
            return *at == '"' ? at + 1 : NULL;
        }
    }
    return NULL;
}

/* One character of a JSON string, escapes read; false at its end. Only whether it is white space matters. */
static bool next(const char **at, bool *space) {
    const char *c = *at;
    *space = *c == ' ';
    if (*c == '"' || *c == '\0') {
        return false;
    }
    if (*c == '\\') {
        c++;
        *space = *c == 'n' || *c == 't' || *c == 'r' || *c == 'f';
        size_t hex = *c == 'u' ? 4 : 0;
        for (c++; hex > 0 && *c != '\0' && *c != '"'; hex--) {
            c++;
        }
    } else {
        c++;
        /* The rest of a character in UTF-8. */
        while (((unsigned char)*c & 0xC0) == 0x80) {
            c++;
        }
    }
    *at = c;
    return true;
}

int main(void) {
    size_t length = fread(input, 1, sizeof input - 1, stdin);
    input[length] = '\0';
    const char *at = text_of(input);
    if (at == NULL) {
        fputs("words: there is no string \"text\"\n", stderr);
        return 1;
    }
    fputs("{\"numbers\":[", stdout);
    uint32_t word = 0, words = 0;
    for (bool more = true, space; more;) {
        more = next(&at, &space);
        if (more && !space) {
            word++;
        } else if (word > 0) {
            printf("%s%u", words++ > 0 ? "," : "", (unsigned)word);
            word = 0;
        }
    }
    fputs("]}\n", stdout);
    return 0;
}
