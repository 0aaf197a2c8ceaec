/*
 * Which engine, and what was found out about it. The verdict of an engine's self-test is kept in a
 * file of the runtime folder, "engine-NAME": a line that says for which host it holds, and one with
 * the verdict, "ok" or why not. What may be otherwise the next time (no device, no permission, in
 * use, no memory) is not kept. A file that is not just as this one writes it does not count.
 */
#include "vm/engine_choice.h"
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "protocol/protocol.h"

#define ANSWER_MAX 4096

/* ---- what the answer holds for ---- */

#define TEST_VERSION "2"

static void append_file(GString *s, const char *path)
{
	g_autofree char *text = NULL;

	if (g_file_get_contents(path, &text, NULL, NULL))
		g_string_append_printf(s, " %s", g_strstrip(text));
	else
		g_string_append(s, " -");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* KVM's own and its processors' (kvm_intel, kvm_amd and what else there may be), if loaded. */
static void append_modules(GString *s)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GDir) dir = g_dir_open("/sys/module", 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir)) != NULL)
		if (g_str_has_prefix(name, "kvm"))
			g_ptr_array_add(names, g_strdup(name));
	g_ptr_array_sort(names, by_name);
	for (guint i = 0; i < names->len; i++) {
		g_autofree char *path = g_build_filename("/sys/module", names->pdata[i],
							 "srcversion", NULL);
		g_string_append_printf(s, " %s", (char *)names->pdata[i]);
		append_file(s, path);
	}
}

/* This start of this kernel with these modules. */
static char *host_key(void)
{
	GString *s = g_string_new(TEST_VERSION);
	struct utsname u;

	if (uname(&u) == 0)
		g_string_append_printf(s, " %s %s", u.release, u.version);
	append_file(s, "/proc/sys/kernel/random/boot_id");
	append_modules(s);
	g_strdelimit(s->str, "\n", ' ');
	return g_string_free(s, FALSE);
}

/* ---- the file ---- */

static char *answer_path(const struct hv_engine_ops *ops)
{
	g_autofree char *root = lodge_run_root(true, NULL);

	return root ? g_strdup_printf("%s/engine-%s", root, ops->name) : NULL;
}

/* Its text, NUL-terminated; never waits. false: there is none, or not one of ours. */
static bool read_answer(const char *path, char text[ANSWER_MAX])
{
	auto_close int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return false;
	const ssize_t n = read(fd, text, ANSWER_MAX);
	if (n <= 0 || n == ANSWER_MAX)
		return false;
	text[n] = '\0';
	return strlen(text) == (size_t)n && g_utf8_validate(text, n, NULL);
}

/* A line that a terminal may see. */
static bool is_plain(const char *line)
{
	for (const char *p = line; *p != '\0'; p = g_utf8_next_char(p))
		if (!g_unichar_isprint(g_utf8_get_char(p)))
			return false;
	return line[0] != '\0';
}

/* True: *ret_result and e are as the test left them. */
static bool recall(const char *path, const char *key, int *ret_result, struct err *e)
{
	char text[ANSWER_MAX];
	g_auto(GStrv) line = NULL;

	if (!path || !read_answer(path, text))
		return false;
	line = g_strsplit(text, "\n", 4);
	if (g_strv_length(line) != 3 || strcmp(line[0], key) != 0 || !is_plain(line[1]) ||
	    line[2][0] != '\0')
		return false;
	*ret_result = strcmp(line[1], "ok") == 0 ? 0 : err_set(e, -ENOTSUP, "%s", line[1]);
	return true;
}

/* What may be otherwise the next time (no memory, a hypervisor that is busy) is no answer. A host
 * that cannot keep it tries again. */
static void keep(const char *path, const char *key, int result, const struct err *e)
{
	g_autofree char *text = g_strdup_printf("%s\n%s\n", key, result == 0 ? "ok" : e->msg);

	if (path && (result == 0 || result == -ENOTSUP))
		(void)g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600,
					       NULL);
}

int engine_probe(const struct hv_engine_ops *ops, struct err *e)
{
	struct err why = { .msg = "" };
	int r = ops->probe(e);

	if (r < 0 || !ops->selftest)
		return r;
	g_autofree char *path = answer_path(ops), *key = host_key();
	if (recall(path, key, &r, e))
		return r;
	r = ops->selftest(&why);
	if (r == 0 || r == -ENOTSUP)
		keep(path, key, r, &why);
	return r < 0 ? err_set(e, r, "%s", why.msg) : 0;
}

/* ---- the choice ---- */

/* What only the soft engine does; NULL: nothing of that is asked for. */
static const char *soft_only(const struct vm_config *c)
{
	const struct {
		bool asked;
		const char *key;
	} settings[] = {
		{ c->deterministic, "debug.deterministic" },
		{ c->trace != NULL, "debug.trace" },
		{ strcmp(c->soft_tier, "translate") != 0, "soft.tier" },
		{ c->soft_disable != 0, "soft.disable" },
		{ c->soft_perf_map, "soft.perf-map" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(settings); i++)
		if (settings[i].asked)
			return settings[i].key;
	return NULL;
}

/* Whatever the host's error: who names an engine is told that this host cannot. */
static int choose_named(const char *name, const struct hv_engine_ops **ret_engine, struct err *e)
{
	const struct hv_engine_ops *ops = hv_engine_find(name);
	struct err why = { .msg = "" };

	if (!ops)
		return err_set(e, -ENOTSUP,
			       "this version has no engine '%s' (vm.engine=soft works on every "
			       "host)",
			       name);
	if (engine_probe(ops, &why) < 0)
		return err_set(e, -ENOTSUP, "%s", why.msg);
	*ret_engine = ops;
	return 0;
}

int engine_choose(const struct vm_config *c, const struct hv_engine_ops **ret_engine,
		  char ret_reason[ENGINE_REASON_BYTES], struct err *e)
{
	const char *soft = soft_only(c);
	struct err why = { .msg = "no engine was built in" };

	snprintf(ret_reason, ENGINE_REASON_BYTES, "chosen by the user");
	if (strcmp(c->engine, "auto") != 0)
		return choose_named(c->engine, ret_engine, e);
	snprintf(ret_reason, ENGINE_REASON_BYTES, "this host's KVM runs guests");
	if (soft) {
		snprintf(ret_reason, ENGINE_REASON_BYTES, "%s needs it", soft);
		return choose_named("soft", ret_engine, e);
	}
	for (unsigned i = 0; hv_engine_at(i); i++) {
		const struct hv_engine_ops *ops = hv_engine_at(i);
		if (ops == &hv_engine_null)
			continue;
		if (engine_probe(ops, &why) == 0) {
			*ret_engine = ops;
			return 0;
		}
		snprintf(ret_reason, ENGINE_REASON_BYTES, "%s: %s", ops->name, why.msg);
	}
	return err_set(e, -ENOTSUP, "this host can run none of the engines: %.200s", why.msg);
}

bool engine_instead(const struct vm_config *c, const struct hv_engine_ops **engine,
		    char reason[ENGINE_REASON_BYTES], const struct err *e)
{
	if (strcmp(c->engine, "auto") != 0 || *engine == &hv_engine_soft)
		return false;
	snprintf(reason, ENGINE_REASON_BYTES, "%s: %s", (*engine)->name, e->msg);
	*engine = &hv_engine_soft;
	return true;
}
