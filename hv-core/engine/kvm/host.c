/* Why a host's KVM cannot be opened; see probe.h. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "engine/kvm/probe.h"
#include "engine/kvm/sys.h"

#define LOOKUP_BYTES 16384 /* for an entry of the user or group database */

/* ---- looking ---- */

static void look_at_cpu(struct kvm_host *h)
{
	char line[8192], *rest;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "flags", 5) != 0)
			continue;
		for (char *w = strtok_r(line, " \t\n", &rest); w;
		     w = strtok_r(NULL, " \t\n", &rest)) {
			h->vmx |= strcmp(w, "vmx") == 0;
			h->svm |= strcmp(w, "svm") == 0;
			h->is_guest |= strcmp(w, "hypervisor") == 0;
		}
		break; /* the other processors have the same */
	}
	if (f != NULL)
		fclose(f);
}

/* In the database; the process would have it only after a new login. */
static bool user_is_in(gid_t group)
{
	gid_t list[256];
	int n = HV_ARRAY_LEN(list);
	struct passwd pw, *found = NULL;
	auto_free char *buf = malloc(LOOKUP_BYTES);

	if (buf == NULL || getpwuid_r(getuid(), &pw, buf, LOOKUP_BYTES, &found) != 0 ||
	    found == NULL || getgrouplist(pw.pw_name, pw.pw_gid, list, &n) < 0)
		return false;
	for (int i = 0; i < n; i++)
		if (list[i] == group)
			return true;
	return false;
}

static void look_at_node(struct kvm_host *h)
{
	const mode_t both = S_IRGRP | S_IWGRP;
	struct group gr, *found = NULL;
	struct stat st;
	auto_free char *buf = malloc(LOOKUP_BYTES);

	if (buf == NULL || stat(KVM_DEVICE, &st) < 0 || (st.st_mode & both) != both ||
	    st.st_gid == 0 || getgrgid_r(st.st_gid, &gr, buf, LOOKUP_BYTES, &found) != 0 ||
	    found == NULL)
		return;
	snprintf(h->group, sizeof(h->group), "%s", gr.gr_name);
	h->is_member = user_is_in(st.st_gid);
}

void kvm_host_look(struct kvm_host *ret_host)
{
	*ret_host = (struct kvm_host){ .registered = access("/sys/class/misc/kvm", F_OK) == 0 };
	look_at_cpu(ret_host);
	look_at_node(ret_host);
}

/* ---- what it means ---- */

static int no_device(const struct kvm_host *h, bool node, struct err *e)
{
	const char *what = node ? "there is nothing behind" : "there is no";

	if (h->registered)
		return err_set(e, -ENOTSUP,
			       "the kernel has KVM, but there is no %s: is this a container? Give "
			       "it the device" KVM_SOFT,
			       KVM_DEVICE);
	if (h->vmx || h->svm)
		return err_set(e, -ENOTSUP,
			       "%s %s: load the module (sudo modprobe %s); if that fails, switch "
			       "\"%s\" on in the firmware's setup" KVM_SOFT,
			       what, KVM_DEVICE, h->vmx ? "kvm_intel" : "kvm_amd",
			       h->vmx ? "VT-x" : "SVM");
	if (h->is_guest)
		return err_set(e, -ENOTSUP,
			       "%s %s: this computer is itself a virtual machine, whose host would "
			       "have to let it have guests (nested virtualization)" KVM_SOFT,
			       what, KVM_DEVICE);
	return err_set(e, -ENOTSUP,
		       "%s %s: the processor does not offer virtualization; look for \"VT-x\", "
		       "\"SVM\" or \"Virtualization\" in the firmware's setup" KVM_SOFT,
		       what, KVM_DEVICE);
}

static int no_permission(const struct kvm_host *h, int r, struct err *e)
{
	if (h->group[0] == '\0')
		return err_set(e, r,
			       "you may not use %s: it is for no group; give it to one that you "
			       "are in (sudo chgrp GROUP %s; sudo chmod 660 %s)" KVM_SOFT,
			       KVM_DEVICE, KVM_DEVICE, KVM_DEVICE);
	if (h->is_member)
		return err_set(e, r,
			       "you may not use %s yet: you have joined its group %s since this "
			       "session began; log in again" KVM_SOFT,
			       KVM_DEVICE, h->group);
	return err_set(e, r,
		       "you may not use %s: join its group (sudo usermod -aG %s $USER, then log in "
		       "again)" KVM_SOFT,
		       KVM_DEVICE, h->group);
}

int kvm_host_reason(const struct kvm_host *h, int r, struct err *e)
{
	switch (r) {
	case -ENOENT:
		return no_device(h, false, e);
	case -ENODEV:
	case -ENXIO:
		return no_device(h, true, e);
	case -EACCES:
		return no_permission(h, r, e);
	case -EPERM: /* not the file's mode: a control group's rule for devices */
		return err_set(e, r,
			       "this container may not use %s: let it have the device" KVM_SOFT,
			       KVM_DEVICE);
	case -EBUSY:
		return err_set(e, r, "%s is in use by another hypervisor: end that first" KVM_SOFT,
			       KVM_DEVICE);
	default:
		return err_set(e, r, "cannot open %s: %s" KVM_SOFT, KVM_DEVICE, strerror(-r));
	}
}
