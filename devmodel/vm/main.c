/*
 * lodge-vm: the process of one running VM.
 *
 *   lodge-vm [--json] [--ready-fd N] KEY=VALUE...
 *                                          runs it; ends with the guest's status (protocol.h)
 *   lodge-vm --folder DIR [--detached] ... the same, of a VM that is kept; detached: who started it
 *                                          does not wait for its end
 *   lodge-vm --snapshot VERB DIR ...       to one that does not run: snapshot.h
 *   lodge-vm --check DIR                   whether that VM's settings are right
 *   lodge-vm --check-setting KEY=VALUE     whether that is a setting
 *   lodge-vm --default KEY                 prints what a setting is that was not made
 *   lodge-vm --describe                    prints all settings and devices as JSON
 *   lodge-vm --settings [KEY]              prints the settings as text
 *   lodge-vm --probe, --probe-json         prints what this host can run
 *
 * `lodge run` starts it with standard input and output being the stream of the serial port that
 * goes to "-". On the ready descriptor it says "made PATH" of each file that it made, so that these
 * can be removed if the start fails, and "ready NAME" when the VM runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include "base/log.h"
#include "cpu/trace_points.h"
#include "devmodel/machine/trace_points.h"
#include "protocol/protocol.h"
#include "vm/control_int.h"
#include "vm/probe.h"
#include "vm/recognise.h"
#include "vm/snapshot.h"
#include "vm/vm.h"

#define FILE_LIMIT 65536

static bool as_json, detached;

static int complain(const struct err *e)
{
	const int code = (int)lodge_error_of_errno(e->code);
	g_autofree char *json = lodge_json_error(code, e->msg);

	fprintf(stderr, "%s%s\n", as_json ? "" : "lodge: ", as_json ? json : e->msg);
	return code == LODGE_ERROR_FAILED ? LODGE_EXIT_FAILED : code;
}

/* Reads it all, and opens nothing. */
static int check_folder(const char *dir, struct err *e)
{
	struct vm_config c;
	int r;

	vm_config_init(&c);
	r = vm_home_read(dir, &c, e);
	if (r == 0)
		r = vm_recognise(&c, e);
	if (r == 0)
		r = vm_config_check(&c, e);
	vm_config_finish(&c);
	return r;
}

static int check_setting(const char *setting, struct err *e)
{
	struct vm_config c;
	int r;

	vm_config_init(&c);
	r = vm_config_set(&c, setting, e);
	vm_config_finish(&c);
	return r;
}

/* The options that run no VM. true: done, with *ret_status to end with. */
static bool only_tell(int argc, char **argv, int *ret_status)
{
	const char *word = argc > 1 ? argv[1] : "";
	struct err e;

	*ret_status = 0;
	if (strcmp(word, "--describe") == 0) {
		g_autofree char *text = vm_config_describe();
		fputs(text, stdout);
	} else if (strcmp(word, "--settings") == 0) {
		if (vm_print_settings(argc > 2 ? argv[2] : NULL, &e) < 0)
			*ret_status = complain(&e);
	} else if (strcmp(word, "--setting-words") == 0) {
		vm_print_setting_words();
	} else if (strcmp(word, "--check") == 0 && argc == 3) {
		*ret_status = check_folder(argv[2], &e) < 0 ? complain(&e) : 0;
	} else if (strcmp(word, "--snapshot") == 0) {
		*ret_status = snapshot_offline(argc - 2, argv + 2, &e) < 0 ? complain(&e) : 0;
	} else if (strcmp(word, "--check-setting") == 0 && argc == 3) {
		*ret_status = check_setting(argv[2], &e) < 0 ? complain(&e) : 0;
	} else if (strcmp(word, "--default") == 0 && argc == 3) {
		const char *value;
		if (vm_config_default(argv[2], &value, &e) < 0)
			*ret_status = complain(&e);
		else
			puts(value);
	} else if (strcmp(word, "--probe") == 0 || strcmp(word, "--probe-json") == 0) {
		*ret_status = vm_probe(word[7] != '\0');
	} else {
		return false;
	}
	return true;
}

/* `lodge run` ends its VM by a signal and knows why better. */
static const char *signal_text = "it was ended by a signal";

static gboolean on_signal(gint fd, GIOCondition cond, gpointer data)
{
	struct signalfd_siginfo info;

	(void)cond;
	if (read(fd, &info, sizeof(info)) == sizeof(info))
		vm_quit(data, VM_STOPPED, "user", LODGE_EXIT_FAILED, signal_text);
	return G_SOURCE_CONTINUE;
}

/* Nobody reads the ready descriptor any more: who started the VM in its foreground is gone. */
static gboolean on_parent_gone(gint fd, GIOCondition cond, gpointer data)
{
	(void)fd;
	(void)cond;
	vm_quit(data, VM_STOPPED, "user", LODGE_EXIT_FAILED, "the program that ran it is gone");
	return G_SOURCE_REMOVE;
}

/* By descriptor: blocked in every thread, so that nothing of ours is interrupted. */
static int watch_signals(struct vm *vm, struct err *e)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_set(e, -errno, "cannot watch for signals");
	g_unix_fd_add(fd, G_IO_IN, on_signal, vm);
	return 0;
}

static int start_log(const struct vm_config *c, struct err *e)
{
	enum log_level level;
	int r = log_level_parse(c->log_level, &level);

	if (r < 0)
		return err_set(e, r, "log.level: no level '%s'", c->log_level);
	log_set_level(level);
	trace_register(core_trace_points);
	trace_register(dm_trace_points);
	if (c->log_trace && trace_switch(c->log_trace, true) == 0)
		return err_set(e, -EINVAL,
			       "log.trace: no trace point is named like '%s'; try vcpu_*, soft_*, "
			       "mem_*, lapic_*, virtio_*, pm_* or *",
			       c->log_trace);
	return c->log_file ? log_open_file(c->log_file, e) : 0;
}

/* Reads argv into the configuration. *ret_ready_fd is -1 without one. */
static int parse_args(int argc, char **argv, struct vm *vm, int *ret_ready_fd, struct err *e)
{
	int r = 0;

	*ret_ready_fd = -1;
	if (argc > 2 && strcmp(argv[1], "--folder") == 0) {
		r = vm_home_enter(&vm->home, argv[2], &vm->cfg, e);
		argc -= 2;
		argv += 2;
	}
	for (int i = 1; r == 0 && i < argc; i++) {
		guint64 fd;
		if (strcmp(argv[i], "--ready-fd") == 0 && i + 1 < argc &&
		    g_ascii_string_to_unsigned(argv[i + 1], 10, 3, 1023, &fd, NULL)) {
			*ret_ready_fd = (int)fd;
			i++;
			fcntl(*ret_ready_fd, F_SETFD, FD_CLOEXEC);
		} else if (strcmp(argv[i], "--detached") == 0) {
			detached = true;
		} else if (strcmp(argv[i], "--json") == 0) {
			as_json = true;
		} else if (argv[i][0] == '-') {
			r = err_set(e, -EINVAL, "lodge-vm: no option '%.64s'", argv[i]);
		} else {
			r = vm_config_set(&vm->cfg, argv[i], e);
		}
	}
	if (r == 0)
		r = vm_recognise(&vm->cfg, e);
	return r < 0 ? r : vm_config_check(&vm->cfg, e);
}

static void print_stats(struct vm *vm)
{
	g_autoptr(GVariant) stats = g_variant_ref_sink(control_stats(vm));
	g_autofree char *text = lodge_stats_text(stats);
	g_autoptr(GString) json = g_string_new("{\"stats\":");

	lodge_json_variant(json, stats);
	if (as_json)
		fprintf(stderr, "%s}\n", json->str);
	else
		fprintf(stderr, "lodge: stats of VM \"%s\"\n%s", vm_name(vm), text);
}

/* Why it ended, if that is worth a word. */
static void tell_end(struct vm *vm)
{
	g_autofree char *text = g_strdup_printf("VM \"%s\": %s", vm_name(vm), vm->exit_text);
	g_autofree char *json = lodge_json_error(LODGE_ERROR_FAILED, text);

	if (vm->exit_text[0] != '\0')
		fprintf(stderr, "%s%s\n", as_json ? "" : "lodge: ", as_json ? json : text);
}

static int run(struct vm *vm, int ready_fd, struct err *e)
{
	int r;

	if (ready_fd >= 0 && !detached)
		signal_text = "";
	vm_files_announce(&vm->cfg, ready_fd);
	r = start_log(&vm->cfg, e);
	if (r == 0)
		r = watch_signals(vm, e);
	if (r == 0)
		r = vm_start(vm, e);
	if (r < 0)
		return complain(e);
	if (ready_fd >= 0) {
		dprintf(ready_fd, "ready %s\n", vm->claim.name);
		if (detached)
			close(ready_fd);
		else
			g_unix_fd_add(ready_fd, G_IO_ERR | G_IO_HUP, on_parent_gone, vm);
	}
	if (!vm->quitting)
		g_main_loop_run(vm->main);
	if (machine_pause(vm->machine, e) < 0)
		log_msg(LOG_LVL_WARN, "vm", "%s", e->msg);
	if (vm->cfg.stats)
		print_stats(vm);
	tell_end(vm);
	return vm->exit_status;
}

/* Its complaints about a client's message come with all bytes of that: the first line will do. */
static GLogWriterOutput on_glib_log(GLogLevelFlags level, const GLogField *fields, gsize n,
				    gpointer data)
{
	const bool error = level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);

	(void)data;
	for (gsize i = 0; i < n; i++) {
		const char *text = fields[i].value;
		if (strcmp(fields[i].key, "MESSAGE") == 0)
			log_msg(error			      ? LOG_LVL_ERROR
				: level & G_LOG_LEVEL_WARNING ? LOG_LVL_WARN
							      : LOG_LVL_DEBUG,
				"glib", "%.*s", (int)MIN(strcspn(text, "\n"), 200), text);
	}
	return G_LOG_WRITER_HANDLED;
}

/* Every layer of a disk is a descriptor. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = MIN(limit.rlim_max, FILE_LIMIT);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_msg(LOG_LVL_INFO, "vm", "no more than the usual number of files can be open");
}

int main(int argc, char **argv)
{
	static struct vm vm;
	struct err e = { 0 };
	int ready_fd, status;

	raise_file_limit();
	if (only_tell(argc, argv, &status))
		return status;
	g_log_set_writer_func(on_glib_log, NULL, NULL);
	/* No plug-ins into this process, and the time zone before the files are out of reach. */
	g_setenv("GIO_USE_VFS", "local", TRUE);
	g_setenv("GIO_MODULE_DIR", "/nonexistent", TRUE);
	tzset();
	vm_config_init(&vm.cfg);
	if (parse_args(argc, argv, &vm, &ready_fd, &e) < 0) {
		status = complain(&e);
		vm_home_leave(&vm.home, false);
		vm_config_finish(&vm.cfg);
		return status;
	}
	status = run(&vm, ready_fd, &e);
	vm_finish(&vm);
	return status;
}
