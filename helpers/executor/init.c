// SPDX-License-Identifier: GPL-2.0-only
/*
 * The executor as a program of its own.  As /init, the only file of an initramfs, it mounts what it
 * needs, loads the modules put beside it, and answers requests on the
 * virtio-serial port.  Lines that begin with "khx:" on the console tell a person why
 * it could not; results never travel there.
 * Not as the first process, on a board, it removes its own file and answers on
 * its standard streams until they end.
 */
#define _GNU_SOURCE
#include "executor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	printf("khx: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	reboot(RB_POWER_OFF);
	_exit(1);
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

static void load_modules(void)
{
	struct dirent **names;
	int n = scandir("/modules", &names, visible, alphasort);

	for (int i = 0; i < n; i++)
		load_module(names[i]->d_name);
}

/*
 * Without a driver for the machine's clock the wall clock starts at zero, as
 * the time since boot does, and KVM could give one for the other unnoticed.
 */
static void set_clock(void)
{
	const struct timespec y2020 = { .tv_sec = 1577836800 };
	struct timespec now;

	if (!clock_gettime(CLOCK_REALTIME, &now) && now.tv_sec < y2020.tv_sec &&
	    clock_settime(CLOCK_REALTIME, &y2020))
		printf("khx: cannot set the clock: %s\n", strerror(errno));
}

/* /dev/vport*, made by devtmpfs, or by hand from sysfs where there is none. */
static int open_port(void)
{
	char path[320], number[32] = "";
	unsigned major, minor;
	struct dirent **names;
	int fd, n = scandir("/sys/class/virtio-ports", &names, visible, alphasort);

	if (n < 1)
		return -1;
	snprintf(path, sizeof(path), "/dev/%s", names[0]->d_name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 || errno != ENOENT)
		return fd;
	snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/dev", names[0]->d_name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, number, sizeof(number) - 1) < 1)
		return -1;
	close(fd);
	if (sscanf(number, "%u:%u", &major, &minor) != 2)
		return -1;
	mknod("/dev/khx-port", S_IFCHR | 0600, makedev(major, minor));
	return open("/dev/khx-port", O_RDWR | O_CLOEXEC);
}

static int wait_for_port(void)
{
	struct timespec pause = { 0, 10 * 1000 * 1000 };
	int fd;

	for (int i = 0; i < 500; i++) {
		fd = open_port();
		if (fd >= 0)
			return fd;
		nanosleep(&pause, NULL);
	}
	errno = ENODEV;
	return -1;
}

/* virtio-serial answers 0 while the other side is closed; the host closes only to end us. */
static int transfer(int fd, uint8_t *bytes, size_t n, int out)
{
	while (n) {
		ssize_t done = out ? write(fd, bytes, n) : read(fd, bytes, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		bytes += done;
		n -= done;
	}
	return 0;
}

static int serve_one(int in, int out)
{
	uint32_t length, answered;
	uint8_t *request, *answer, *frame;
	size_t n;

	if (transfer(in, (uint8_t *)&length, sizeof(length), 0))
		return -1;
	if (length > KHX_MAX_REQUEST) {
		errno = EMSGSIZE;
		return -1;
	}
	request = malloc(length ? length : 1);
	if (!request || transfer(in, request, length, 0) || executor_run(request, length, &answer, &n))
		return -1;
	free(request);
	/* One write: each costs an exit of the virtual machine. */
	frame = malloc(sizeof(answered) + n);
	if (!frame)
		return -1;
	answered = n;
	memcpy(frame, &answered, sizeof(answered));
	memcpy(frame + sizeof(answered), answer, n);
	executor_free(answer);
	if (transfer(out, frame, sizeof(answered) + n, 1))
		return -1;
	free(frame);
	return 0;
}

/* Whatever ends the connection later, nothing stays behind: the kernel keeps the file while it runs. */
static int serve_standard_streams(const char *own_file)
{
	unlink(own_file);
	while (!serve_one(STDIN_FILENO, STDOUT_FILENO))
		;
	return 0;
}

static void serve_port(void)
{
	int fd;

	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	set_clock();
	load_modules();
	fd = wait_for_port();
	if (fd < 0)
		die("no virtio-serial port");
	printf("khx: serving\n");
	fflush(stdout);
	while (!serve_one(fd, fd))
		;
	die("the wire ended");
}

int main(int argc, char **argv)
{
	if (getpid() != 1)
		return argc == 2 ? serve_standard_streams(argv[1]) : 2;
	serve_port();
	return 1;
}
