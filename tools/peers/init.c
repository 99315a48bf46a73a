// SPDX-License-Identifier: GPL-2.0-only
/*
 * /init of an initramfs with the kernel's selftests.  It loads the modules in
 * /modules, and for each line of /plan writes the value to the file that it
 * names ("FILE VALUE", or "- NAME" to write nothing) and runs every program of
 * /tests.  The console gets a line for each: "peer: VALUE PROGRAM STATUS MS",
 * where STATUS is the program's exit status (4: skipped), "signal N", or
 * "timeout".  The machine powers off after the last one.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 60

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void load_modules(void)
{
	struct dirent **names;
	int n = scandir("/modules", &names, visible, alphasort);

	for (int i = 0; i < n; i++) {
		char path[512];
		int fd;

		snprintf(path, sizeof(path), "/modules/%s", names[i]->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
			printf("peer-error: cannot load %s: %s\n", path, strerror(errno));
		close(fd);
	}
}

static void choose(const char *file, const char *value)
{
	int fd;

	if (!strcmp(file, "-"))
		return;
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		printf("peer-error: cannot write %s to %s: %s\n", value, file, strerror(errno));
	close(fd);
}

/*
 * Starts a selftest in its own session, so that its children can be killed with
 * it.  argv[0] must be its path, because it loads its guest from that file.
 */
static pid_t start(const char *path)
{
	pid_t pid = fork();

	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		setsid();
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		execl(path, path, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void run(const char *value, const char *name)
{
	const struct timespec pause = { 0, 1000 * 1000 };
	struct timespec began, now;
	char path[512];
	int status, ms;
	pid_t pid;

	snprintf(path, sizeof(path), "/tests/%s", name);
	clock_gettime(CLOCK_MONOTONIC, &began);
	pid = start(path);
	for (;;) {
		int done = waitpid(pid, &status, WNOHANG) == pid;

		clock_gettime(CLOCK_MONOTONIC, &now);
		ms = (now.tv_sec - began.tv_sec) * 1000 + (now.tv_nsec - began.tv_nsec) / 1000000;
		if (done)
			break;
		if (ms > SECONDS * 1000) {
			kill(-pid, SIGKILL);
			printf("peer: %s %s timeout %d\n", value, name, ms);
			return;
		}
		nanosleep(&pause, NULL);
	}
	kill(-pid, SIGKILL);
	if (WIFSIGNALED(status))
		printf("peer: %s %s signal-%d %d\n", value, name, WTERMSIG(status), ms);
	else
		printf("peer: %s %s %d %d\n", value, name, WEXITSTATUS(status), ms);
}

static void follow(FILE *plan)
{
	char file[512], value[512];
	struct dirent **names;
	int n = scandir("/tests", &names, visible, alphasort);

	while (fscanf(plan, "%511s %511s", file, value) == 2) {
		choose(file, value);
		for (int i = 0; i < n; i++)
			run(value, names[i]->d_name);
	}
}

int main(void)
{
	FILE *plan;

	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	load_modules();
	plan = fopen("/plan", "r");
	if (plan)
		follow(plan);
	else
		printf("peer-error: there is no /plan\n");
	printf("peer: end\n");
	reboot(RB_POWER_OFF);
	return 1;
}
