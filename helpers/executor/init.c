// SPDX-License-Identifier: GPL-2.0-only
/*
 * The executor as a program.  As /init, the only program of an initramfs, it
 * mounts what it needs, loads the modules in /modules, and serves requests on
 * the virtio-serial port.  If that fails, a console line that begins with
 * "khx:" gives the reason.  Results are never written to the console.  With
 * khx_user=UID,FILE on the kernel's command line it serves as user UID, which
 * becomes the owner of FILE.
 * On a board it is not process 1.  It removes its own file, and serves requests
 * on its standard streams until the connection ends.
 */
#define _GNU_SOURCE
#include "executor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	printf("khx: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	_exit(1);
}

/* Continues after a failure. If a missing file system matters, a later step fails and reports it. */
static void mount_all(void)
{
	static const struct {
		const char *type, *target, *option;
	} needs[] = {
		{ "devtmpfs", "/dev", "CONFIG_DEVTMPFS" },
		{ "proc", "/proc", "CONFIG_PROC_FS" },
		{ "sysfs", "/sys", "CONFIG_SYSFS" },
	};

	for (size_t i = 0; i < sizeof(needs) / sizeof(*needs); i++) {
		if (!mount(needs[i].type, needs[i].target, needs[i].type, 0, NULL) || errno == EBUSY)
			continue;
		printf("khx: cannot mount %s on %s: %s", needs[i].type, needs[i].target, strerror(errno));
		/* ENODEV: the kernel has no such file system. */
		if (errno == ENODEV)
			printf(" (%s is not set)", needs[i].option);
		printf("\n");
	}
}

static void load_module(const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "/modules/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
		printf("khx: cannot load %s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Frees the result of scandir(); n is -1 if scandir() failed. */
static void free_names(struct dirent **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	if (n >= 0)
		free(names);
}

static void load_modules(void)
{
	struct dirent **names;
	int n = scandir("/modules", &names, visible, alphasort);

	for (int i = 0; i < n; i++)
		load_module(names[i]->d_name);
	free_names(names, n);
}

/*
 * Without a driver for the machine's real-time clock, the wall clock starts at
 * 0, as the monotonic clock does.  Tests of KVM_PTP must distinguish the two.
 */
static void set_clock(void)
{
	const struct timespec y2020 = { .tv_sec = 1577836800 };
	struct timespec now;

	if (!clock_gettime(CLOCK_REALTIME, &now) && now.tv_sec < y2020.tv_sec &&
	    clock_settime(CLOCK_REALTIME, &y2020))
		printf("khx: cannot set the clock: %s\n", strerror(errno));
}

static int open_port(void)
{
	struct dirent **names;
	char path[320];
	int n = scandir("/sys/class/virtio-ports", &names, visible, alphasort);

	if (n < 1) {
		errno = ENODEV;
		return -1;
	}
	snprintf(path, sizeof(path), "/dev/%s", names[0]->d_name);
	free_names(names, n);
	return open(path, O_RDWR | O_CLOEXEC);
}

static int wait_for_port(void)
{
	const struct timespec pause = { 0, 10 * 1000 * 1000 };
	int fd = open_port();

	for (int i = 0; fd < 0 && i < 500; i++) {
		nanosleep(&pause, NULL);
		fd = open_port();
	}
	return fd;
}

/* Returns 0, or -1 with errno. errno is 0 at the end of the stream (virtio-serial: the host closed its end). */
static int transfer(int fd, void *bytes, size_t n, int out)
{
	while (n) {
		ssize_t done = out ? write(fd, bytes, n) : read(fd, bytes, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (!done)
			errno = 0;
		if (done <= 0)
			return -1;
		bytes = (char *)bytes + done;
		n -= done;
	}
	return 0;
}

static int answer(int out, const uint8_t *request, size_t length)
{
	uint8_t *body, *frame;
	uint32_t prefix;
	size_t n;
	int ret = -1;

	if (executor_run(request, length, &body, &n)) {
		errno = ENOMEM;
		return -1;
	}
	/* One write for the whole frame, because each write costs an exit of the virtual machine. */
	frame = malloc(sizeof(prefix) + n);
	if (frame) {
		prefix = n;
		memcpy(frame, &prefix, sizeof(prefix));
		memcpy(frame + sizeof(prefix), body, n);
		ret = transfer(out, frame, sizeof(prefix) + n, 1);
	}
	free(frame);
	executor_free(body);
	return ret;
}

/* Serves one request. Returns as transfer() does. */
static int serve_one(int in, int out)
{
	uint8_t *request;
	uint32_t length;
	int ret;

	if (transfer(in, &length, sizeof(length), 0))
		return -1;
	if (length > KHX_MAX_REQUEST) {
		errno = EMSGSIZE;
		return -1;
	}
	request = malloc(length ? length : 1);
	if (!request)
		return -1;
	ret = transfer(in, request, length, 0);
	if (!ret)
		ret = answer(out, request, length);
	free(request);
	return ret;
}

/* Removes its own file first, which the running program does not need, so that none is left if the connection drops. */
static int serve_standard_streams(const char *own_file)
{
	unlink(own_file);
	while (!serve_one(STDIN_FILENO, STDOUT_FILENO))
		;
	if (!errno)
		return 0;
	fprintf(stderr, "khx: cannot serve: %s\n", strerror(errno));
	return 1;
}

/*
 * Serves as the user of khx_user=UID,FILE, which the kernel passes as an
 * environment variable because it does not know the parameter.  As after a
 * login, the process has no other groups and owns its files in /proc.
 */
static void become_user(const char *setting)
{
	char *file;
	uid_t uid = strtoul(setting, &file, 10);

	if (*file != ',' || chown(file + 1, uid, uid) || setgroups(0, NULL) || setgid(uid) || setuid(uid) ||
	    prctl(PR_SET_DUMPABLE, 1))
		die("cannot serve as the user of khx_user=UID,FILE");
}

static void serve_port(void)
{
	const char *user = getenv("khx_user");
	int fd;

	mount_all();
	set_clock();
	load_modules();
	fd = wait_for_port();
	if (fd < 0)
		die("no virtio-serial port");
	if (user)
		become_user(user);
	printf("khx: serving\n");
	fflush(stdout);
	while (!serve_one(fd, fd))
		;
	die(errno ? "cannot serve" : "the wire ended");
}

int main(int argc, char **argv)
{
	if (getpid() != 1)
		return argc == 2 ? serve_standard_streams(argv[1]) : 2;
	serve_port();
	return 1;
}
