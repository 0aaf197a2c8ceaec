/*
 * Which engine, and what was found out about it. The answer of an engine's self-test is kept in a
 * file of the runtime folder, "engine-NAME": a line that says for which host it holds, and one with
 * the answer, "ok" or why not.
 */
#include "vm/engine_choice.h"
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include "protocol/protocol.h"

#define ANSWER_MAX 4096

/* ---- what the answer holds for ---- */

static void append_file(GString *s, const char *path)
{
	g_autofree char *text = NULL;

	if (g_file_get_contents(path, &text, NULL, NULL))
		g_string_append_printf(s, " %s", g_strstrip(text));
	else
		g_string_append(s, " -");
}

/* This start of this kernel with these modules. */
static char *host_key(void)
{
	static const char *const files[] = {
		"/proc/sys/kernel/random/boot_id",
		"/sys/module/kvm/srcversion",
		"/sys/module/kvm_intel/srcversion",
		"/sys/module/kvm_amd/srcversion",
	};
	GString *s = g_string_new("1"); /* of the test */
	struct utsname u;

	if (uname(&u) == 0)
		g_string_append_printf(s, " %s %s", u.release, u.version);
	for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
		append_file(s, files[i]);
	g_strdelimit(s->str, "\n", ' ');
	return g_string_free(s, FALSE);
}

/* ---- the file ---- */

static char *answer_path(const struct hv_engine_ops *ops)
{
	g_autofree char *root = lodge_run_root(true, NULL);

	return root ? g_strdup_printf("%s/engine-%s", root, ops->name) : NULL;
}

/* True: *ret_result and e are as the test left them. */
static bool recall(const char *path, const char *key, int *ret_result, struct err *e)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) line = NULL;
	gsize n;

	if (!path || !g_file_get_contents(path, &text, &n, NULL) || n > ANSWER_MAX ||
	    memchr(text, '\0', n) || !g_utf8_validate(text, (gssize)n, NULL))
		return false;
	line = g_strsplit(text, "\n", 4);
	if (g_strv_length(line) != 3 || strcmp(line[0], key) != 0 || line[1][0] == '\0')
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
	keep(path, key, r, &why);
	return r < 0 ? err_set(e, r, "%s", why.msg) : 0;
}

/* ---- the choice ---- */

/* What only the soft engine does; NULL: nothing of that is asked for. */
static const char *soft_only(const struct vm_config *c)
{
	if (c->deterministic)
		return "debug.deterministic";
	if (c->soft_disable != 0)
		return "soft.disable";
	if (c->soft_perf_map)
		return "soft.perf-map";
	return c->trace ? "debug.trace" : NULL;
}

static int choose_named(const char *name, const struct hv_engine_ops **ret_engine, struct err *e)
{
	const struct hv_engine_ops *ops = hv_engine_find(name);

	if (!ops)
		return err_set(e, -ENOTSUP,
			       "this version has no engine '%s' (vm.engine=soft works on every "
			       "host)",
			       name);
	*ret_engine = ops;
	return engine_probe(ops, e);
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
