/* An HTTP server whose every reply leaves an exact time after its request arrived, and that says how exact it was.

   usage: exact_server DELAY_US [STALL_EVERY_S STALL_S]      (Linux; GET only; 127.0.0.1, a free port)

   Compiled with -DTLS (and -lssl -lcrypto) it speaks TLS, with the certificate and the key in CERTIFICATE.

   It prints "port N" and runs until its stdin ends. Then it prints one line of JSON: how many replies it sent, and how
   late they were (p50, p99 and the largest, in microseconds, until the reply was handed over to the kernel). With
   STALL_EVERY_S it stops reading and answering for STALL_S in each period, for the first time half a period after the
   first request; replies that became due in a stall are counted apart.

   One thread. The delay counts from the kernel's own timestamp of the request (SO_TIMESTAMPNS), so that a late wake-up
   of this process does not add to it. A timer wakes the process a little early and it spins until the reply is due.
   It asks for real-time priority (SCHED_FIFO) and does without where that is not allowed. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/ssl.h>
#endif

#define SECOND 1000000000LL
#define SPIN_NS 60000      /* how long before a reply is due the process is awake */
#define MAX_FD 65536
#define MAX_PENDING 65536  /* a power of two; one per connection, since clients do not pipeline */
#define MAX_LATE_US 1000000

static const char REPLY[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

struct reply { int64_t due; int fd; };

static struct reply pending[MAX_PENDING];           /* a ring, ordered by due */
static uint32_t head, tail;
static unsigned char end_of_head[MAX_FD];           /* by connection: how much of "\r\n\r\n" has just been read */
static uint64_t late[MAX_LATE_US + 1];              /* replies by microseconds of lateness */
static uint64_t replies, stalled;
static int64_t largest_late_ns, first_request_ns, stalled_until;

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

/* Insert by due: the kernel's timestamps of one batch of events need not be in order. */
static void plan_reply(int64_t due, int fd)
{
    if (tail - head == MAX_PENDING) { fprintf(stderr, "too many requests at once\n"); exit(1); }
    uint32_t at = tail++;
    for (; at != head && pending[(at - 1) % MAX_PENDING].due > due; at--)
        pending[at % MAX_PENDING] = pending[(at - 1) % MAX_PENDING];
    pending[at % MAX_PENDING] = (struct reply){due, fd};
}

#ifdef TLS
static SSL_CTX *context;
static SSL *sessions[MAX_FD];

static void open_session(int fd)
{
    SSL_free(sessions[fd]);
    sessions[fd] = SSL_new(context);
    SSL_set_bio(sessions[fd], BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(sessions[fd]);
}

/* Hand what TLS wants to send over to the kernel. */
static int flush(int fd)
{
    char bytes[65536];
    int length = BIO_read(SSL_get_wbio(sessions[fd]), bytes, sizeof bytes);
    return length <= 0 || send(fd, bytes, (size_t)length, MSG_NOSIGNAL) == length;
}

/* Turn the encrypted bytes into plain ones, in their place; how many there are. */
static ssize_t decrypted(int fd, char *bytes, ssize_t length, size_t size)
{
    size_t plain = 0;
    int got;
    BIO_write(SSL_get_rbio(sessions[fd]), bytes, (int)length);
    while (plain < size && (got = SSL_read(sessions[fd], bytes + plain, (int)(size - plain))) > 0) plain += (size_t)got;
    flush(fd); /* of the handshake */
    return (ssize_t)plain;
}

static int send_reply(int fd)
{
    return SSL_write(sessions[fd], REPLY, sizeof REPLY - 1) > 0 && flush(fd);
}

static void prepare(void)
{
    const char *path = getenv("CERTIFICATE");
    context = SSL_CTX_new(TLS_server_method());
    if (!path || SSL_CTX_use_certificate_chain_file(context, path) != 1
        || SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "CERTIFICATE names no file with a certificate and a key\n");
        exit(1);
    }
}
#else
static void open_session(int fd) { (void)fd; }
static ssize_t decrypted(int fd, char *bytes, ssize_t length, size_t size) { (void)fd, (void)bytes, (void)size; return length; }
static int send_reply(int fd) { return send(fd, REPLY, sizeof REPLY - 1, MSG_NOSIGNAL) == sizeof REPLY - 1; }
static void prepare(void) {}
#endif

static void hang_up(int fd)
{
    for (uint32_t at = head; at != tail; at++)
        if (pending[at % MAX_PENDING].fd == fd) pending[at % MAX_PENDING].fd = -1;
    close(fd);
}

static void accept_all(int epoll, int listener)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_FD) { fprintf(stderr, "too many connections\n"); exit(1); }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
        end_of_head[fd] = 0;
        open_session(fd);
        watch(epoll, fd);
    }
}

/* When the kernel received what was just read, on the monotonic clock. */
static int64_t arrival(struct msghdr *message)
{
    int64_t now = clock_ns(CLOCK_MONOTONIC), age;
    struct timespec t;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            memcpy(&t, CMSG_DATA(c), sizeof t);
            age = clock_ns(CLOCK_REALTIME) - (t.tv_sec * SECOND + t.tv_nsec);
            if (age >= 0 && age < 10 * SECOND) return now - age; /* else the wall clock was set meanwhile */
        }
    return now;
}

static void read_requests(int fd, int64_t delay)
{
    char bytes[65536], control[256];
    struct iovec vector = {bytes, sizeof bytes};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT);
    if (length < 0 && errno == EAGAIN) return;
    if (length <= 0) { hang_up(fd); return; }
    int64_t arrived = arrival(&message);
    length = decrypted(fd, bytes, length, sizeof bytes);
    if (!first_request_ns && length) first_request_ns = arrived;
    for (ssize_t i = 0; i < length; i++) {
        if (bytes[i] == "\r\n\r\n"[end_of_head[fd]]) end_of_head[fd]++;
        else end_of_head[fd] = bytes[i] == '\r';
        if (end_of_head[fd] == 4) { end_of_head[fd] = 0; plan_reply(arrived + delay, fd); }
    }
}

static void send_due_replies(void)
{
    while (head != tail && pending[head % MAX_PENDING].due - clock_ns(CLOCK_MONOTONIC) <= SPIN_NS) {
        struct reply reply = pending[head++ % MAX_PENDING];
        if (reply.fd < 0) continue;
        while (clock_ns(CLOCK_MONOTONIC) < reply.due) {}
        if (!send_reply(reply.fd)) continue; /* it hung up */
        replies++;
        if (reply.due < stalled_until) { stalled++; continue; }
        int64_t lateness = clock_ns(CLOCK_MONOTONIC) - reply.due, us = lateness / 1000;
        if (lateness > largest_late_ns) largest_late_ns = lateness;
        late[us < MAX_LATE_US ? us : MAX_LATE_US]++;
    }
}

static uint64_t lateness_us(double share)
{
    uint64_t rank = (uint64_t)((double)(replies - stalled) * share), seen = 0, us = 0;
    while (us < MAX_LATE_US && (seen += late[us]) <= rank) us++;
    return us;
}

static void report(int fifo)
{
    printf("{\"replies\": %" PRIu64 ", \"stalled\": %" PRIu64 ", \"fifo\": %s", replies, stalled, fifo ? "true" : "false");
    if (replies > stalled)
        printf(", \"late_us\": {\"p50\": %" PRIu64 ", \"p99\": %" PRIu64 ", \"max\": %.1f}", lateness_us(0.5),
               lateness_us(0.99), (double)largest_late_ns / 1000);
    puts("}");
}

static int listen_somewhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4096)) die("listen");
    if (getsockname(fd, (struct sockaddr *)&address, &size)) die("getsockname");
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void wake_at(int timer, int64_t when)
{
    struct itimerspec at = {.it_value = {when / SECOND, when % SECOND}};
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL)) die("timerfd_settime");
}

static void stall_until(int64_t end)
{
    struct timespec at = {end / SECOND, end % SECOND};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    stalled_until = clock_ns(CLOCK_MONOTONIC);
}

int main(int count, char **words)
{
    if (count != 2 && count != 4) { fprintf(stderr, "usage: exact_server DELAY_US [STALL_EVERY_S STALL_S]\n"); return 2; }
    int64_t delay = atoll(words[1]) * 1000;
    int64_t every = count == 4 ? (int64_t)(atof(words[2]) * SECOND) : 0, stall = every ? (int64_t)(atof(words[3]) * SECOND) : 0;
    struct sched_param priority = {.sched_priority = 10};
    prepare();
    int fifo = sched_setscheduler(0, SCHED_FIFO, &priority) == 0;
    int listener = listen_somewhere(), epoll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    int64_t next_stall = 0;
    watch(epoll, STDIN_FILENO);
    watch(epoll, listener);
    watch(epoll, timer);
    for (;;) {
        struct epoll_event events[256];
        if (every && first_request_ns) {
            if (!next_stall) next_stall = first_request_ns + every / 2;
            if (clock_ns(CLOCK_MONOTONIC) >= next_stall) { stall_until(next_stall + stall); next_stall += every; }
        }
        send_due_replies();
        int64_t wake = head != tail ? pending[head % MAX_PENDING].due - SPIN_NS : INT64_MAX;
        if (next_stall && next_stall < wake) wake = next_stall;
        if (wake != INT64_MAX) wake_at(timer, wake);
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            char byte[64];
            if (fd == STDIN_FILENO) { if (read(fd, byte, sizeof byte) <= 0) { report(fifo); return 0; } }
            else if (fd == listener) accept_all(epoll, listener);
            else if (fd == timer) { if (read(timer, byte, sizeof byte) < 0) continue; }
            else read_requests(fd, delay);
        }
    }
}
