/* Faults below the file calls, for processes that load this by LD_PRELOAD: faults.py writes the rules.
 *
 * A rule a line, its fields parted by tabs:
 *   calls   names, parted by commas: open create write sync sync_folder rename unlink truncate mkdir lock stat
 *   path    a pattern of fnmatch(3) for the absolute path; of a renaming both are tried
 *   first, last   which of these calls, counted from 1 in each process; last 0: all from there on
 *   do      kill (before the call), tear (write half, then kill), error, short (write half), delay, note
 *   value   the errno, or the milliseconds
 *   until   the rule holds until a file of this path is there; empty: always
 *   who     owner (the process that was given the rules), child (any that it starts), any
 * What happens is appended to a log first: do, call, path, process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOST_RULES 16
#define OWNER "L2O_FAULTS_OWNER"

struct rule {
    char calls[128], path[PATH_MAX], action[8], until[PATH_MAX], who[8];
    long first, last, value, seen;
};

static struct rule rules[MOST_RULES];
static int count;
static char log_path[PATH_MAX];

static void field(char **rest, char *to, size_t size) {
    const char *found = strsep(rest, "\t");
    snprintf(to, size, "%s", found ? found : "");
}

static long number(char **rest) {
    char text[32];
    field(rest, text, sizeof text);
    return atol(text);
}

static void read_rules(const char *text, const char *log) {
    char *copy = strdup(text), *lines = copy, *line;
    count = 0;
    snprintf(log_path, sizeof log_path, "%s", log ? log : "");
    while (copy && (line = strsep(&lines, "\n")) && count < MOST_RULES) {
        struct rule *rule = &rules[count];
        if (!*line) continue;
        memset(rule, 0, sizeof *rule);
        field(&line, rule->calls, sizeof rule->calls);
        field(&line, rule->path, sizeof rule->path);
        rule->first = number(&line);
        rule->last = number(&line);
        field(&line, rule->action, sizeof rule->action);
        rule->value = number(&line);
        field(&line, rule->until, sizeof rule->until);
        field(&line, rule->who, sizeof rule->who);
        count++;
    }
    free(copy);
}

/* Give this process its rules: for one that was forked from a process that had none. */
void faults_begin(const char *text, const char *log) {
    char pid[32];
    snprintf(pid, sizeof pid, "%d", getpid());
    setenv(OWNER, pid, 1);
    setenv("L2O_FAULTS", text, 1);
    setenv("L2O_FAULTS_LOG", log, 1);
    read_rules(text, log);
}

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("L2O_FAULTS");
    char pid[32];
    snprintf(pid, sizeof pid, "%d", getpid());
    setenv(OWNER, pid, 0);
    if (text) read_rules(text, getenv("L2O_FAULTS_LOG"));
}

static void append_to_log(const char *action, const char *call, const char *path) {
    char line[2 * PATH_MAX];
    int length, to;
    if (!*log_path) return;
    length = snprintf(line, sizeof line, "%s\t%s\t%s\t%d\n", action, call, path, getpid());
    to = syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (to < 0) return;
    syscall(SYS_write, to, line, length);
    syscall(SYS_close, to);
}

static int is_named(const char *calls, const char *call) {
    size_t length = strlen(call);
    for (const char *at = calls; (at = strstr(at, call)); at += length)
        if ((at == calls || at[-1] == ',') && (!at[length] || at[length] == ',')) return 1;
    return 0;
}

static int is_ours(const struct rule *rule) {
    const char *owner = getenv(OWNER);
    int is_owner = owner && atoi(owner) == getpid();
    return !strcmp(rule->who, "any") || is_owner == !strcmp(rule->who, "owner");
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

enum verdict { GO_ON, FAIL, HALF, TEAR };

/* Decide what becomes of a call. Where it fails, errno is set. */
static enum verdict judge(const char *call, const char *path, const char *other) {
    enum verdict verdict = GO_ON;
    for (int index = 0; index < count; index++) {
        struct rule *rule = &rules[index];
        const char *matching = fnmatch(rule->path, path, 0) == 0 ? path : other;
        if (!matching || fnmatch(rule->path, matching, 0) != 0) continue;
        if (!is_named(rule->calls, call) || !is_ours(rule)) continue;
        if (*rule->until && syscall(SYS_faccessat, AT_FDCWD, rule->until, F_OK) == 0) continue;
        long seen = __atomic_add_fetch(&rule->seen, 1, __ATOMIC_SEQ_CST);
        if (seen < rule->first || (rule->last && seen > rule->last)) continue;
        append_to_log(rule->action, call, matching);
        if (!strcmp(rule->action, "kill")) die();
        if (!strcmp(rule->action, "tear")) verdict = TEAR;
        if (!strcmp(rule->action, "short")) verdict = HALF;
        if (!strcmp(rule->action, "delay")) {
            struct timespec pause = {rule->value / 1000, rule->value % 1000 * 1000000};
            while (nanosleep(&pause, &pause) && errno == EINTR) {}
        }
        if (!strcmp(rule->action, "error")) {
            errno = rule->value;
            return FAIL;
        }
    }
    return verdict;
}

/* Write the absolute path of a descriptor, or of a path that is relative to one. */
static void locate(int folder, const char *path, char *to) {
    char link[64];
    ssize_t length = 0;
    *to = 0;
    if (path && *path == '/') {
        snprintf(to, PATH_MAX, "%s", path);
        return;
    }
    if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    length = syscall(SYS_readlinkat, AT_FDCWD, link, to, PATH_MAX - 1);
    to[length > 0 ? length : 0] = 0;
    if (path) snprintf(to + strlen(to), PATH_MAX - strlen(to), "/%s", path);
}

static enum verdict judge_at(const char *call, int folder, const char *path) {
    char located[PATH_MAX];
    int before = errno;
    if (!count) return GO_ON;
    locate(folder, path, located);
    errno = before;
    return judge(call, located, NULL);
}

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    if (judge_at(flags & O_CREAT ? "create" : "open", folder, path) == FAIL) return -1;
    return syscall(SYS_openat, folder, path, flags, mode);
}

#define OPENED(name, before, folder)                      \
    int name(before const char *path, int flags, ...) {   \
        va_list rest;                                     \
        va_start(rest, flags);                            \
        mode_t mode = va_arg(rest, mode_t);               \
        va_end(rest);                                     \
        return open_at(folder, path, flags, mode);        \
    }
#define COMMA ,
OPENED(open, , AT_FDCWD)
OPENED(open64, , AT_FDCWD)
OPENED(openat, int at COMMA, at)
OPENED(openat64, int at COMMA, at)

ssize_t write(int to, const void *data, size_t size) {
    enum verdict verdict = judge_at("write", to, NULL);
    if (verdict == FAIL) return -1;
    ssize_t written = syscall(SYS_write, to, data, verdict == GO_ON || size < 2 ? size : size / 2);
    if (verdict == TEAR) die();
    return written;
}

static ssize_t write_at(int to, const void *data, size_t size, off_t place) {
    enum verdict verdict = judge_at("write", to, NULL);
    if (verdict == FAIL) return -1;
    ssize_t written = syscall(SYS_pwrite64, to, data, verdict == GO_ON || size < 2 ? size : size / 2, place);
    if (verdict == TEAR) die();
    return written;
}

ssize_t pwrite(int to, const void *data, size_t size, off_t place) { return write_at(to, data, size, place); }
ssize_t pwrite64(int to, const void *data, size_t size, off_t place) { return write_at(to, data, size, place); }

static int synced(int what, long call) {
    struct stat found;
    int is_folder = syscall(SYS_fstat, what, &found) == 0 && S_ISDIR(found.st_mode);
    if (judge_at(is_folder ? "sync_folder" : "sync", what, NULL) == FAIL) return -1;
    return syscall(call, what);
}

int fsync(int what) { return synced(what, SYS_fsync); }
int fdatasync(int what) { return synced(what, SYS_fdatasync); }

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    char located[PATH_MAX], target[PATH_MAX];
    if (count) {
        locate(from_folder, from, located);
        locate(to_folder, to, target);
        if (judge("rename", target, located) == FAIL) return -1;
    }
    return syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return renameat2(from_folder, from, to_folder, to, 0);
}

int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int folder, const char *path, int flags) {
    if (judge_at("unlink", folder, path) == FAIL) return -1;
    return syscall(SYS_unlinkat, folder, path, flags);
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int ftruncate(int what, off_t size) {
    if (judge_at("truncate", what, NULL) == FAIL) return -1;
    return syscall(SYS_ftruncate, what, size);
}

int ftruncate64(int what, off_t size) { return ftruncate(what, size); }

int mkdirat(int folder, const char *path, mode_t mode) {
    if (judge_at("mkdir", folder, path) == FAIL) return -1;
    return syscall(SYS_mkdirat, folder, path, mode);
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

static int looked_at(int folder, const char *path, struct stat *to, int flags) {
    if (path && *path && judge_at("stat", folder, path) == FAIL) return -1; /* of what is open nothing is asked */
    return syscall(SYS_newfstatat, folder, path, to, flags);
}

int stat(const char *path, struct stat *to) { return looked_at(AT_FDCWD, path, to, 0); }
int lstat(const char *path, struct stat *to) { return looked_at(AT_FDCWD, path, to, AT_SYMLINK_NOFOLLOW); }
int fstatat(int folder, const char *path, struct stat *to, int flags) { return looked_at(folder, path, to, flags); }
int stat64(const char *path, struct stat64 *to) { return stat(path, (struct stat *)to); }
int lstat64(const char *path, struct stat64 *to) { return lstat(path, (struct stat *)to); }
int fstatat64(int folder, const char *path, struct stat64 *to, int flags) {
    return fstatat(folder, path, (struct stat *)to, flags);
}

int flock(int what, int how) {
    if (judge_at("lock", what, NULL) == FAIL) return -1;
    return syscall(SYS_flock, what, how);
}

static int controlled(int what, int command, long argument) {
    int is_lock = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW;
    if (is_lock && judge_at("lock", what, NULL) == FAIL) return -1;
    return syscall(SYS_fcntl, what, command, argument);
}

#define CONTROLLED(name)                               \
    int name(int what, int command, ...) {             \
        va_list rest;                                  \
        va_start(rest, command);                       \
        long argument = va_arg(rest, long);            \
        va_end(rest);                                  \
        return controlled(what, command, argument);    \
    }
CONTROLLED(fcntl)
CONTROLLED(fcntl64)
