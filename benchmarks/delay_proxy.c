/* A far-away server: forwards TCP connections on loopback, each direction late by a fixed time.
 *
 *   delay_proxy TARGET_PORT MILLISECONDS [BYTES_A_SECOND]
 *
 * Listens on a free port of 127.0.0.1 and prints it; every byte leaves MILLISECONDS after it came, so a
 * round trip takes twice that. Throughput and pipelining stay as they are (up to 8 MB in flight each
 * way) unless a rate is given: then all connections share a line that takes so many bytes a second in
 * each direction, with a queue in front of it that holds what the line takes in one round trip. Loss and
 * TCP's slow start are not imitated. Ends when its standard input is closed. In C because it shares the
 * machine with what is measured. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINKS = 64, IN_FLIGHT = 8 << 20, PIECES = 4096, PACKETS = 16 << 10 };

/* One direction: a ring of bytes, and a ring of pieces that say until where bytes are due when. */
struct flow {
    int from, to;
    int64_t *line_free; /* when the line in this direction has sent all that it was given */
    char *ring;
    uint64_t taken, given; /* bytes received and sent since the beginning */
    struct {
        uint64_t end;
        int64_t due;
    } piece[PIECES];
    unsigned first, count;
    int ended, shut, blocked;
};

static struct link {
    int used;
    struct flow up, down;
} links[LINKS];

static int64_t delay, up_free, down_free;
static double rate; /* bytes a second, 0 for no limit */
static uint64_t in_flight = IN_FLIGHT;

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int has_room(const struct flow *flow) {
    return !flow->ended && flow->count < PIECES && flow->taken - flow->given < in_flight;
}

static int64_t next_due(const struct flow *flow) {
    return flow->count ? flow->piece[flow->first].due : INT64_MAX;
}

/* Both return -1 when the connection is broken. */
static int receive(struct flow *flow) {
    size_t at = flow->taken % IN_FLIGHT, room = IN_FLIGHT - (size_t)(flow->taken - flow->given);
    if (room > IN_FLIGHT - at) room = IN_FLIGHT - at;
    if (rate && room > PACKETS) room = PACKETS; /* else much would arrive at once, when its last byte is due */
    ssize_t got = recv(flow->from, flow->ring + at, room, MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (got == 0) flow->ended = 1;
    flow->taken += (uint64_t)got;
    unsigned last = (flow->first + flow->count++) % PIECES;
    flow->piece[last].end = flow->taken; /* the end of the stream is a piece without bytes */
    int64_t sent = now();
    if (rate) {
        if (*flow->line_free > sent) sent = *flow->line_free;
        *flow->line_free = sent += (int64_t)((double)got / rate * 1e9);
    }
    flow->piece[last].due = sent + delay;
    return 0;
}

static int forward(struct flow *flow, int64_t time) {
    flow->blocked = 0;
    while (flow->count && flow->piece[flow->first].due <= time) {
        uint64_t end = flow->piece[flow->first].end;
        while (flow->given < end) {
            size_t at = flow->given % IN_FLIGHT, size = (size_t)(end - flow->given);
            if (size > IN_FLIGHT - at) size = IN_FLIGHT - at;
            ssize_t sent = send(flow->to, flow->ring + at, size, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (sent < 0) {
                flow->blocked = errno == EAGAIN;
                return errno == EAGAIN || errno == EINTR ? 0 : -1;
            }
            flow->given += (uint64_t)sent;
        }
        flow->first = (flow->first + 1) % PIECES;
        flow->count--;
    }
    if (flow->ended && !flow->count && !flow->shut) {
        shutdown(flow->to, SHUT_WR);
        flow->shut = 1;
    }
    return 0;
}

static void open_flow(struct flow *flow, int from, int to, int64_t *line_free) {
    char *ring = flow->ring ? flow->ring : malloc(IN_FLIGHT);
    if (!ring) fail("memory");
    memset(flow, 0, sizeof *flow);
    flow->ring = ring;
    flow->from = from;
    flow->to = to;
    flow->line_free = line_free;
}

static void accept_link(int listener, const struct sockaddr_in *target) {
    int one = 1, near = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (near < 0) return;
    int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct link *link = links;
    while (link < links + LINKS && link->used) link++;
    if (far < 0 || link == links + LINKS || connect(far, (const struct sockaddr *)target, sizeof *target) < 0) {
        perror("delay_proxy: connecting");
        close(near);
        if (far >= 0) close(far);
        return;
    }
    setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    link->used = 1;
    open_flow(&link->up, near, far, &up_free);
    open_flow(&link->down, far, near, &down_free);
}

static void close_link(struct link *link) {
    close(link->up.from);
    close(link->down.from);
    link->used = 0;
}

static int listen_free(struct sockaddr_in *address) {
    socklen_t size = sizeof *address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address->sin_port = 0;
    if (listener < 0 || bind(listener, (struct sockaddr *)address, size) < 0 || listen(listener, 128) < 0 ||
        getsockname(listener, (struct sockaddr *)address, &size) < 0)
        fail("delay_proxy: listening");
    return listener;
}

/* What a link waits for: two entries, its client's end and its server's end. */
static void watch(const struct link *link, struct pollfd *wanted) {
    wanted[0].fd = wanted[1].fd = link->used ? link->up.from : -1;
    if (!link->used) return;
    wanted[1].fd = link->down.from;
    wanted[0].events = (short)((has_room(&link->up) ? POLLIN : 0) | (link->down.blocked ? POLLOUT : 0));
    wanted[1].events = (short)((has_room(&link->down) ? POLLIN : 0) | (link->up.blocked ? POLLOUT : 0));
    /* Without interest poll would still report hang-ups, again and again. */
    if (!wanted[0].events) wanted[0].fd = -1;
    if (!wanted[1].events) wanted[1].fd = -1;
}

static int64_t wake_at(void) {
    int64_t earliest = INT64_MAX;
    for (struct link *link = links; link < links + LINKS; link++) {
        if (!link->used) continue;
        if (!link->up.blocked && next_due(&link->up) < earliest) earliest = next_due(&link->up);
        if (!link->down.blocked && next_due(&link->down) < earliest) earliest = next_due(&link->down);
    }
    return earliest;
}

static void serve(struct link *link, const struct pollfd *ready) {
    int broken = 0;
    if (ready[0].fd >= 0 && ready[0].revents && has_room(&link->up)) broken |= receive(&link->up);
    if (ready[1].fd >= 0 && ready[1].revents && has_room(&link->down)) broken |= receive(&link->down);
    int64_t time = now();
    broken |= forward(&link->up, time);
    broken |= forward(&link->down, time);
    if (broken || (link->up.shut && link->down.shut)) close_link(link);
}

int main(int count, char **argument) {
    if (count < 3 || count > 4) {
        fputs("usage: delay_proxy TARGET_PORT MILLISECONDS [BYTES_A_SECOND]\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, own = target;
    target.sin_port = htons((uint16_t)atoi(argument[1]));
    delay = (int64_t)(atof(argument[2]) * 1e6);
    if (count > 3) rate = atof(argument[3]);
    /* What is on its way, and what waits for the line; a receive may go beyond by its own size. */
    double held = rate * (double)(delay + 2 * delay) / 1e9 + PACKETS;
    if (rate && held < IN_FLIGHT - PACKETS) in_flight = (uint64_t)held;
    int listener = listen_free(&own);
    printf("%d\n", ntohs(own.sin_port));
    fflush(stdout);

    static struct pollfd wanted[2 + 2 * LINKS];
    for (;;) {
        wanted[0] = (struct pollfd){.fd = 0, .events = POLLIN};
        wanted[1] = (struct pollfd){.fd = listener, .events = POLLIN};
        for (int i = 0; i < LINKS; i++) watch(&links[i], &wanted[2 + 2 * i]);
        int64_t at = wake_at(), wait = at == INT64_MAX ? 0 : at - now();
        if (wait < 0) wait = 0;
        struct timespec pause = {wait / 1000000000, wait % 1000000000};
        if (ppoll(wanted, 2 + 2 * LINKS, at == INT64_MAX ? NULL : &pause, NULL) < 0 && errno != EINTR)
            fail("delay_proxy: ppoll");
        if (wanted[0].revents) return 0;
        for (int i = 0; i < LINKS; i++)
            if (links[i].used) serve(&links[i], &wanted[2 + 2 * i]);
        if (wanted[1].revents) accept_link(listener, &target);
    }
}
