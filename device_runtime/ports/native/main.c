// SPDX-License-Identifier: MIT
// ttzo-native: the C runtime as a process on a socket.
//
//     ttzo-native BUNDLE [--socket PATH | --port P] [--key FILE] [--reading open] [--storage MEMORY]
//                 [--work-bytes N] [--sparse-bytes S] [--threads T]
//
// Prints `listening PATH`, a Unix socket that only its user may open, or `listening 127.0.0.1:PORT`, and serves one client
// after the other until its standard input closes, so that it ends with the program that started it. P = 0 (the default)
// takes any free port. FILE holds a key of 32 bytes, without which nobody may give orders, nor read unless reading is
// open. MEMORY is its memory for runs. N makes it as small as a board, S gives it a region sparse. T threads make the
// estimates (1 by default), in work memory of their own.
// Exit codes: 0 input closed, 1 no socket, 2 wrong usage, 3 bundle, key or memory refused.
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "link/link.h"
#include "share_estimate.h"
#include "slot_file.h"

#define MOST_THREADS 256
#define LOOK_EVERY_NS 200000u        // at the line while a step goes on
#define ROOM_FOR_DATASET (64u << 20) // on top of what the model needs, when no size is given

static int listener = -1;
static int client = -1; // the connected socket, or -1

// ---- waiting --------------------------------------------------------------------------------------------------------

// Ends the process when standard input has closed; what stands in it is of no interest.
static void heed_input(short events)
{
    char ignored[256];
    if (events && read(STDIN_FILENO, ignored, sizeof ignored) <= 0)
        exit(0);
}

// Waits up to `timeout` ms (-1: for ever) for `events` on `fd`. True when there are some.
static bool wait_for(int fd, short events, int timeout)
{
    struct pollfd watched[2] = { { .fd = fd, .events = events }, { .fd = STDIN_FILENO, .events = POLLIN } };
    if (poll(watched, 2, timeout) <= 0)
        return false;
    heed_input(watched[1].revents);
    return watched[0].revents != 0;
}

// Waits up to `timeout` ms for bytes from the client, or for one to come when there is none.
static bool wait_for_line(int timeout)
{
    return wait_for(client >= 0 ? client : listener, POLLIN, timeout);
}

static void pick_up(void)
{
    int on = 1;
    client = accept(listener, NULL, NULL);
    if (client < 0)
        return;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // a Unix socket has no delay to take away
    fcntl(client, F_SETFL, fcntl(client, F_GETFL) | O_NONBLOCK);
}

static void hang_up(void)
{
    close(client);
    client = -1;
}

// ---- the link's port ------------------------------------------------------------------------------------------------

static uint32_t socket_port_read(void *context, uint8_t *bytes, uint32_t capacity)
{
    (void)context;
    // without a client, too: while a step goes on, standard input may close and the next client come
    if (!wait_for_line(0))
        return 0;
    if (client < 0) {
        pick_up();
        return 0;
    }
    ssize_t count = recv(client, bytes, capacity, 0);
    if (count > 0)
        return (uint32_t)count;
    if (count == 0 || (errno != EAGAIN && errno != EINTR))
        hang_up();
    return 0;
}

static void socket_port_write(void *context, const uint8_t *bytes, uint32_t count)
{
    (void)context;
    while (client >= 0 && count) {
        ssize_t sent = send(client, bytes, count, 0);
        if (sent >= 0) {
            bytes += sent;
            count -= (uint32_t)sent;
        } else if (errno == EAGAIN) {
            wait_for(client, POLLOUT, -1);
        } else if (errno != EINTR) {
            hang_up();
        }
    }
}

// ---- while a step goes on -------------------------------------------------------------------------------------------

static ttzo_poll poll_of_link;

// The link's own poll, at most every LOOK_EVERY_NS: it looks at the socket, which takes as long as a row of a small model.
static bool look_now_and_then(void *context, uint32_t done, uint32_t total)
{
    static uint64_t last;
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    uint64_t now = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
    if (now - last < LOOK_EVERY_NS)
        return true;
    last = now;
    return poll_of_link(context, done, total);
}

// ---- serving --------------------------------------------------------------------------------------------------------

// Nobody can connect before `listen`, when the socket's mode is set.
static void listen_at(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (strlen(path) >= sizeof address.sun_path)
        errno = ENAMETOOLONG;
    else
        strcpy(address.sun_path, path);
    if (listener < 0 || !address.sun_path[0] || bind(listener, (struct sockaddr *)&address, sizeof address) ||
        chmod(path, S_IRUSR | S_IWUSR) || listen(listener, 4)) {
        fprintf(stderr, "ttzo-native: cannot listen at %s: %s\n", path, strerror(errno));
        exit(1);
    }
    printf("listening %s\n", path);
    fflush(stdout);
}

static void listen_on(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    socklen_t length = sizeof address;
    int on = 1;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(listener, (struct sockaddr *)&address, length) || listen(listener, 4) ||
        getsockname(listener, (struct sockaddr *)&address, &length)) {
        fprintf(stderr, "ttzo-native: cannot listen on port %u: %s\n", (unsigned)port, strerror(errno));
        exit(1);
    }
    printf("listening 127.0.0.1:%u\n", (unsigned)ntohs(address.sin_port));
    fflush(stdout);
}

static void serve(struct ttzo_link *link)
{
    for (;;)
        if (wait_for_line(-1))
            ttzo_link_poll(link);
}

// ---- loading --------------------------------------------------------------------------------------------------------

static void refuse(const char *path, const char *why, uint32_t detail)
{
    fprintf(stderr, "ttzo-native: %s: %s (detail %lu)\n", path, why, (unsigned long)detail);
    exit(3);
}

// Opens the file of a run's generations and lends it to the link.
static void keep_in(const char *path, struct ttzo_link *link, struct ttzo_trainer *trainer)
{
    static struct ttzo_storage storage;
    static struct ttzo_slot_file file;
    struct ttzo_slots slots;
    uint32_t detail = 0;
    if (!ttzo_open_slot_file(&file, path, ttzo_slot_bytes(trainer), &slots) ||
        ttzo_storage_open(&storage, &slots, trainer, &detail))
        refuse(path, errno == EAGAIN || errno == EACCES ? "used by another process, or not writable" : strerror(errno),
               detail);
    ttzo_link_lend_storage(link, &storage);
}

// The whole file; malloc aligns it.
static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    long end = file && !fseek(file, 0, SEEK_END) ? ftell(file) : -1;
    uint8_t *bytes = end >= 0 ? malloc((size_t)end + 1) : NULL;
    if (!bytes || fseek(file, 0, SEEK_SET) || fread(bytes, 1, (size_t)end, file) != (size_t)end)
        refuse(path, strerror(errno), 0);
    fclose(file);
    *size = (size_t)end;
    return bytes;
}

// With the key in the file; the first challenges come from the system's random numbers.
static void lock(struct ttzo_link *link, const char *path, bool reading_open)
{
    size_t size, random_bytes = 0;
    uint32_t words[8] = { 0 };
    uint8_t *secret = read_file(path, &size);
    FILE *random = fopen("/dev/urandom", "rb");
    if (random)
        random_bytes = fread(words, 1, sizeof words, random);
    if (size != TTZO_KEY_BYTES || random_bytes != sizeof words)
        refuse(path, random_bytes == sizeof words ? "not a key of 32 bytes" : "no random numbers", (uint32_t)size);
    fclose(random);
    (void)ttzo_link_lock(link, secret, reading_open); // this build has all parts
    for (unsigned i = 0; i < 8; i++)
        ttzo_link_stir(link, words[i]);
    free(secret);
}

static unsigned long number(const char *text, unsigned long most)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value > most) {
        fprintf(stderr, "ttzo-native: %s is not a number from 0 to %lu\n", text, most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    static struct ttzo_layer layers[TTZO_MAX_LAYERS];
    static struct ttzo_model model;
    static struct ttzo_trainer trainer;
    static struct ttzo_link link;
    unsigned long work_bytes = 0, sparse_bytes = 0, port = 0, threads = 1;
    const char *path = NULL, *key = NULL;
    bool reading_open = false;
    const char *storage_path = NULL;
    size_t size;
    uint32_t detail;

    for (int i = 2; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--work-bytes"))
            work_bytes = number(argv[i + 1], UINT32_MAX);
        else if (!strcmp(argv[i], "--sparse-bytes"))
            sparse_bytes = number(argv[i + 1], UINT32_MAX);
        else if (!strcmp(argv[i], "--threads"))
            threads = number(argv[i + 1], MOST_THREADS);
        else if (!strcmp(argv[i], "--storage"))
            storage_path = argv[i + 1];
        else if (!strcmp(argv[i], "--port"))
            port = number(argv[i + 1], 65535);
        else if (!strcmp(argv[i], "--socket"))
            path = argv[i + 1];
        else if (!strcmp(argv[i], "--key"))
            key = argv[i + 1];
        else if (!strcmp(argv[i], "--reading") && !strcmp(argv[i + 1], "open"))
            reading_open = true;
        else
            argc = 0;
    }
    if (argc < 2 || argc % 2) {
        fprintf(stderr, "usage: ttzo-native BUNDLE [--socket PATH | --port P] [--key FILE] [--reading open] "
                        "[--storage MEMORY] [--work-bytes N] [--sparse-bytes S] [--threads T]\n");
        return 2;
    }

    uint8_t *bundle = read_file(argv[1], &size);
    enum ttzo_error error = ttzo_read_bundle(bundle, size, layers, &model, &detail);
    if (error)
        refuse(argv[1], ttzo_error_name(error), detail);
    if (!work_bytes)
        work_bytes = (unsigned long)ttzo_work_bytes(&model) + ROOM_FOR_DATASET;
    void *work = malloc(work_bytes), *sparse = malloc(sparse_bytes + 1);
    if (!work || !sparse)
        refuse(argv[1], "no memory for the work buffer", (uint32_t)work_bytes);

    // A buffer that is too small is reported over the link, as a board would.
    error = ttzo_open(&trainer, &model, work, work_bytes, &detail);
    if (!error)
        ttzo_lend_sparse(&trainer, sparse, (uint32_t)sparse_bytes);
    static uint8_t frames[TTZO_PORT_BUFFER_BYTES(TTZO_MAX_PAYLOAD)];
    const struct ttzo_port line = { socket_port_read, socket_port_write, NULL, frames, TTZO_MAX_PAYLOAD };
    (void)ttzo_link_init(&link, &line, &trainer, "native", error, detail); // nothing of it is out of range
    poll_of_link = trainer.poll;
    if (poll_of_link)
        trainer.poll = look_now_and_then;
    if (threads > 1 && !error && !ttzo_lend_threads(&trainer, (uint32_t)threads))
        refuse(argv[1], "the system gives no memory for so many threads", (uint32_t)threads);
    if (storage_path && !error)
        keep_in(storage_path, &link, &trainer);
    if (key)
        lock(&link, key, reading_open);
    signal(SIGPIPE, SIG_IGN);
    if (path)
        listen_at(path);
    else
        listen_on((uint16_t)port);
    serve(&link);
}
