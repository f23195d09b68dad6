/* The floor: what a first download costs when nothing is done but the download.
 *
 *   floor HOST PORT USER CA_FILE DIRECTORY [FOLDER]          (password in BENCH_PASSWORD)
 *
 * One IMAP connection over TLS, one pipelined `UID FETCH 1:* (UID BODY.PEEK[])`; each message goes into
 * a file of its own in DIRECTORY, named by its UID; one syncfs for every 500 messages or 16 MB, so that
 * what is counted is as durable as what the other tools leave. Prints the number of messages. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

enum { BATCH_MESSAGES = 500, BATCH_BYTES = 16 << 20, BUFFER = 256 << 10 };

static SSL *tls;
static char buffer[BUFFER];
static size_t start, end; /* what of the buffer is still to be read */

static void fail(const char *what) {
    fprintf(stderr, "floor: %s", what);
    if (errno) fprintf(stderr, ": %s", strerror(errno));
    fputc('\n', stderr);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static void fill(void) {
    if (start == end) start = end = 0;
    if (end == BUFFER) {
        memmove(buffer, buffer + start, end - start);
        end -= start;
        start = 0;
        if (end == BUFFER) fail("a line longer than the buffer");
    }
    int got = SSL_read(tls, buffer + end, (int)(BUFFER - end));
    if (got <= 0) fail("the server closed the connection");
    end += (size_t)got;
}

/* The next line, without its end; valid until the next call that reads. */
static char *line(void) {
    size_t looked = start;
    for (;;) {
        char *newline = memchr(buffer + looked, '\n', end - looked);
        if (newline) {
            char *text = buffer + start;
            start = (size_t)(newline - buffer) + 1;
            if (newline > text && newline[-1] == '\r') newline--;
            *newline = 0;
            return text;
        }
        size_t had = end - start;
        fill();
        looked = start + had;
    }
}

static void send_text(const char *text) {
    if (SSL_write(tls, text, (int)strlen(text)) <= 0) fail("sending");
}

static void expect(const char *tag) {
    for (;;) {
        char *text = line();
        if (strncmp(text, tag, strlen(tag)) == 0) {
            if (strncmp(text + strlen(tag), " OK", 3) != 0) fail(text);
            return;
        }
    }
}

static void connect_tls(const char *host, const char *port, const char *ca_file) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found;
    int problem = getaddrinfo(host, port, &hints, &found);
    if (problem) fail(gai_strerror(problem));
    int connection = -1, one = 1;
    for (struct addrinfo *at = found; at; at = at->ai_next) {
        connection = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
        if (connection >= 0 && connect(connection, at->ai_addr, at->ai_addrlen) == 0) break;
        if (connection >= 0) close(connection);
        connection = -1;
    }
    freeaddrinfo(found);
    if (connection < 0) fail("connecting");
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);

    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context || SSL_CTX_load_verify_locations(context, ca_file, NULL) != 1) fail("reading the CA file");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_read_ahead(context, 1);
    tls = SSL_new(context);
    X509_VERIFY_PARAM *check = SSL_get0_param(tls);
    if (X509_VERIFY_PARAM_set1_ip_asc(check, host) != 1 && X509_VERIFY_PARAM_set1_host(check, host, 0) != 1)
        fail("setting the host to check");
    ERR_clear_error();
    SSL_set_fd(tls, connection);
    if (SSL_connect(tls) != 1) fail("TLS handshake");
}

static void write_all(int file, const char *data, size_t size) {
    while (size) {
        ssize_t written = write(file, data, size);
        if (written < 0) fail("writing");
        data += written;
        size -= (size_t)written;
    }
}

static void store(int directory, const char *name, size_t size) {
    int file = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) fail(name);
    while (size) {
        if (start == end) fill();
        size_t here = end - start < size ? end - start : size;
        write_all(file, buffer + start, here);
        start += here;
        size -= here;
    }
    if (close(file) < 0) fail("closing");
}

int main(int count, char **argument) {
    if (count < 6) fail("usage: floor HOST PORT USER CA_FILE DIRECTORY [FOLDER]");
    const char *password = getenv("BENCH_PASSWORD");
    if (!password) fail("BENCH_PASSWORD is not set");
    int directory = open(argument[5], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) fail(argument[5]);
    connect_tls(argument[1], argument[2], argument[4]);

    char command[1024];
    line();
    snprintf(command, sizeof command, "a LOGIN \"%s\" \"%s\"\r\n", argument[3], password);
    send_text(command);
    expect("a");
    snprintf(command, sizeof command, "b EXAMINE \"%s\"\r\nc UID FETCH 1:* (UID BODY.PEEK[])\r\n",
             count > 6 ? argument[6] : "INBOX");
    send_text(command);
    expect("b");

    long messages = 0, in_batch = 0;
    size_t bytes = 0;
    errno = 0;
    for (;;) {
        char *text = line();
        if (strncmp(text, "c ", 2) == 0) {
            if (strncmp(text, "c OK", 4) != 0) fail(text);
            break;
        }
        char *uid = strstr(text, "(UID "), *literal = strrchr(text, '{'), name[32];
        if (!uid || !literal) continue;
        snprintf(name, sizeof name, "%lu", strtoul(uid + 5, NULL, 10));
        size_t size = strtoul(literal + 1, NULL, 10);
        store(directory, name, size);
        line(); /* the closing parenthesis */
        messages++;
        in_batch++;
        bytes += size;
        if (in_batch == BATCH_MESSAGES || bytes >= BATCH_BYTES) {
            if (syncfs(directory) < 0) fail("syncfs");
            in_batch = 0;
            bytes = 0;
        }
    }
    if (in_batch && syncfs(directory) < 0) fail("syncfs");
    send_text("d LOGOUT\r\n");
    printf("%ld\n", messages);
    return 0;
}
