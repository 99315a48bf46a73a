// SPDX-License-Identifier: GPL-2.0-only
/* Prints the time (ns) of one KVM_GET_ONE_REG and of one KVM_SET_ONE_REG, each the mean of COUNT calls in a loop. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

static uint64_t value;
static struct kvm_one_reg reg = { .addr = (uintptr_t)&value };

static int checked(int fd, unsigned long request, void *argument)
{
	int ret = ioctl(fd, request, argument);

	if (ret < 0) {
		perror("ioctl");
		exit(1);
	}
	return ret;
}

static double nanoseconds(int vcpu, unsigned long request, long count)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < count; i++)
		checked(vcpu, request, &reg);
	clock_gettime(CLOCK_MONOTONIC, &b);
	return ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / count;
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 100000;
	struct kvm_vcpu_init init;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm, vcpu;

	vm = checked(kvm, KVM_CREATE_VM, NULL);
	vcpu = checked(vm, KVM_CREATE_VCPU, NULL);
	checked(vm, KVM_ARM_PREFERRED_TARGET, &init);
	checked(vcpu, KVM_ARM_VCPU_INIT, &init);
	reg.id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_FW_FEAT_BMAP;
	checked(vcpu, KVM_GET_ONE_REG, &reg);
	printf("%f %f\n", nanoseconds(vcpu, KVM_GET_ONE_REG, count), nanoseconds(vcpu, KVM_SET_ONE_REG, count));
	return 0;
}
