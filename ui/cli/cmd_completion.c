/*
 * lodge completion: the scripts for shells, and what they ask: `lodge completion words LINE` prints
 * what may stand where the line ends, a word a line, each with a tab and what it is if there is
 * more to say. Nothing: a file's name, or anything.
 */
#include <fnmatch.h>
#include <glob.h>
#include <string.h>
#include "cli/json.h"
#include "cli/kept.h"
#include "client/client.h"
#include "protocol/protocol.h"
#include "protocol/snapshots.h"

struct line {
	GPtrArray *words; /* char *, owned: the command and what follows; the last is not whole */
	const struct cli_command *cmd;
	const char *whole; /* the last word; of what begins it, lead bytes stay as they are */
	size_t lead;
	const char *vm; /* the one that the words before have named; NULL: none */
};

/* ---- words ---- */

static void offer(const struct line *l, const char *word, const char *about)
{
	if (g_str_has_prefix(word, l->whole + l->lead))
		g_print("%.*s%s%s%s\n", (int)l->lead, l->whole, word, about ? "\t" : "",
			about ? about : "");
}

/* Behind the next such character another word begins. */
static bool lead_to(struct line *l, char separator)
{
	const char *at = strchr(l->whole + l->lead, separator);

	if (at)
		l->lead = (size_t)(at - l->whole) + 1;
	return at != NULL;
}

static void offer_commands(const struct line *l)
{
	for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++)
		offer(l, cmd->name, cmd->help);
}

static void offer_options(const struct line *l)
{
	for (const struct cli_option *o = cli_options; o->name; o++)
		if (cli_option(l->cmd, o->name, strlen(o->name)) == o)
			offer(l, o->name, o->help);
}

/* Of the library, and those that run elsewhere. */
static void offer_vms(const struct line *l)
{
	g_autoptr(GPtrArray) kept = lodge_folder_names(), runs = ui_vm_names(NULL);

	for (guint i = 0; i < kept->len; i++)
		offer(l, kept->pdata[i], NULL);
	for (guint i = 0; runs && i < runs->len; i++) {
		auto_vm struct ui_vm *vm = ui_vm_connect_run(runs->pdata[i], NULL);
		g_autoptr(GVariant) props = vm ? ui_vm_properties(vm, NULL) : NULL;
		const char *name;
		if (props && g_variant_lookup(props, "Name", "&s", &name) &&
		    !g_ptr_array_find_with_equal_func(kept, name, g_str_equal, NULL))
			offer(l, name, NULL);
	}
}

static void offer_snapshots(const struct line *l, const char *vm)
{
	g_autofree char *dir = vm ? lodge_folder_find(vm, NULL) : NULL;
	g_autoptr(GPtrArray) all = dir ? lodge_snapshots_readable(dir, NULL) : NULL;

	for (guint i = 0; all && i < all->len; i++) {
		const struct lodge_snapshot *s = all->pdata[i];
		offer(l, s->name, s->text[0] ? s->text : NULL);
	}
}

static void offer_snapshots_of(struct line *l)
{
	g_autofree char *vm = NULL;

	if (!lead_to(l, '@')) {
		offer_vms(l);
		return;
	}
	vm = g_strndup(l->whole, l->lead - 1);
	offer_snapshots(l, vm);
}

/* ---- settings ---- */

/* The key with the names in place of the star that the VM has there already; else 0. */
static void offer_key(const struct line *l, const char *pattern, const char *about, bool value,
		      GPtrArray *settings)
{
	const size_t head = strcspn(pattern, "*");
	const char *tail = pattern[head] ? pattern + head + 1 : "", *end = value ? "=" : "";
	g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	GHashTableIter it;
	gpointer name;

	for (guint i = 0; pattern[head] && settings && i < settings->len; i++) {
		const char *key = settings->pdata[i];
		if (strncmp(key, pattern, head) == 0)
			g_hash_table_add(names, g_strndup(key + head, strcspn(key + head, ".=")));
	}
	if (g_hash_table_size(names) == 0)
		g_hash_table_add(names, g_strdup(pattern[head] ? "0" : ""));
	g_hash_table_iter_init(&it, names);
	while (g_hash_table_iter_next(&it, &name, NULL)) {
		g_autofree char *key = g_strdup_printf("%.*s%s%s%s", (int)head, pattern,
						       (const char *)name, tail, end);
		offer(l, key, about);
	}
}

static void offer_choices(const struct line *l, const char *choices)
{
	g_auto(GStrv) words = g_strsplit(choices, " ", -1);

	for (guint i = 0; words[i]; i++)
		offer(l, words[i], NULL);
}

/* Keys; with value: KEY= and what may follow. key: the value of that one, NULL: of what is typed.
 */
static void offer_settings(struct line *l, bool value, const char *key)
{
	const size_t begin = l->lead;
	g_autofree char *text = kept_ask(NULL, "lodge-vm",
					 (const char *const[]){ "--setting-words", NULL });
	g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
	g_autofree char *dir = l->vm ? lodge_folder_find(l->vm, NULL) : NULL, *typed = NULL;
	g_autoptr(GKeyFile) ini = dir ? lodge_ini_load(dir, NULL) : NULL;
	g_autoptr(GPtrArray) settings = ini ? lodge_ini_settings(ini) : NULL;

	if (value && !key && lead_to(l, '='))
		key = typed = g_strndup(l->whole + begin, l->lead - begin - 1);
	for (guint i = 0; lines[i] && lines[i][0] != '\0'; i++) {
		g_auto(GStrv) cells = g_strsplit(lines[i], "\t", 3);
		if (key && cells[2][0] != '\0' && fnmatch(cells[0], key, 0) == 0)
			offer_choices(l, cells[2]);
		else if (!key)
			offer_key(l, cells[0], cells[1], value, settings);
	}
}

/* ---- what a place takes ---- */

/* One of the words that table.c has for it: in capitals what it stands for, else itself. */
static void offer_kind(struct line *l, const char *kind)
{
	if (strcmp(kind, "VM") == 0) {
		offer_vms(l);
	} else if (strcmp(kind, "VM@SNAPSHOT") == 0) {
		offer_snapshots_of(l);
	} else if (strcmp(kind, "SNAPSHOT") == 0) {
		offer_snapshots(l, l->vm);
	} else if (strcmp(kind, "COMMAND") == 0) {
		offer_commands(l);
	} else if (strcmp(kind, "KEY") == 0 || strcmp(kind, "KEY=VALUE") == 0) {
		offer_settings(l, kind[3] != '\0', NULL);
	} else if (strcmp(kind, "STATE") == 0) {
		for (const struct json_word *s = json_states; s->word; s++)
			offer(l, s->word, s->text);
	} else if (g_ascii_islower(kind[0])) {
		g_autofree char *word = g_strndup(kind,
						  strcspn(kind, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"));
		offer(l, word, NULL);
	}
}

/* A shell knows files better. */
static bool begins_file(const char *word)
{
	g_autofree char *pattern = g_strdup_printf("%s*", word);
	glob_t found;
	const bool any = glob(pattern, 0, NULL, &found) == 0;

	globfree(&found);
	return any;
}

static void offer_kinds(struct line *l, const char *kinds)
{
	g_auto(GStrv) all = g_strsplit(kinds, "|", -1);

	if (g_strv_contains((const char *const *)all, "FILE") && begins_file(l->whole))
		return;
	for (guint i = 0; all[i]; i++)
		offer_kind(l, all[i]);
}

static void offer_value(struct line *l, const struct cli_option *o)
{
	if (o->key && (o->key[0] == '\0' || !strchr(o->value, '|')))
		offer_settings(l, true, o->key[0] == '\0' ? NULL : o->key);
	else
		offer_kinds(l, o->value);
}

/* The nth word of "VM [SNAPSHOT] FILE", without brackets; its last may come again. */
static char *nth(const char *args, guint n)
{
	g_auto(GStrv) parts = g_strsplit_set(args, "[]", -1);
	g_autofree char *bare = g_strjoinv("", parts);
	g_auto(GStrv) words = g_strsplit(bare, " ", -1);
	const guint count = g_strv_length(words);
	const char *last = count > 0 ? words[count - 1] : "";
	const char *word = n < count ? words[n] : g_str_has_suffix(last, "...") ? last : "";

	return g_strndup(word, strlen(word) - (g_str_has_suffix(word, "...") ? 3 : 0));
}

/* args: the whole words that are no options. */
static void offer_argument(struct line *l, GPtrArray *args)
{
	const struct cli_verb *v = cli_verb(l->cmd->name, NULL);
	const guint skip = v ? 1 : 0;
	g_autofree char *kinds = NULL, *first = NULL;

	for (; args->len == 0 && v && v->noun && strcmp(v->noun, l->cmd->name) == 0; v++)
		offer(l, v->name, v->help);
	if (args->len < skip)
		return;
	if (skip)
		v = cli_verb(l->cmd->name, args->pdata[0]);
	if (skip && !v)
		return;
	kinds = nth(v ? v->args : l->cmd->args, args->len - skip);
	first = nth(v ? v->args : l->cmd->args, 0);
	if (strcmp(first, "VM") == 0 && args->len > skip)
		l->vm = args->pdata[skip];
	offer_kinds(l, kinds);
}

/* ---- lodge disk ---- */

/* The words that its help has before the explanations. */
static void offer_disk(const struct line *l)
{
	const char *verb = l->words->len > 2 ? l->words->pdata[1] : NULL;
	g_autofree char *text = kept_ask(NULL, "lodge-disk",
					 (const char *const[]){ verb ? verb : "help",
								verb ? "--help" : NULL, NULL });
	g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);

	for (guint i = 0; lines[i] && (!verb || l->whole[0] == '-'); i++) {
		g_autofree char *word =
			g_strndup(lines[i] + MIN(strlen(lines[i]), 2),
				  strcspn(lines[i] + MIN(strlen(lines[i]), 2), " "));
		if (g_str_has_prefix(lines[i], "  ") && (!verb || word[0] == '-'))
			offer(l, word, NULL);
	}
}

/* ---- a line ---- */

/* Its words, as a shell takes them; quotes may be open at the end. */
static GPtrArray *split(const char *line)
{
	GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GString) word = g_string_new(NULL);
	char quote = '\0';
	bool in = false;

	for (const char *p = line; *p != '\0'; p++) {
		const bool blank = quote == '\0' && (*p == ' ' || *p == '\t');
		if (blank && in)
			g_ptr_array_add(words, g_strdup(word->str));
		if (blank)
			g_string_truncate(word, 0);
		else if (quote != '\0' && *p == quote)
			quote = '\0';
		else if (quote == '\0' && (*p == '\'' || *p == '"'))
			quote = *p;
		else
			g_string_append_c(word,
					  *p == '\\' && quote != '\'' && p[1] != '\0' ? *++p : *p);
		in = !blank;
	}
	g_ptr_array_add(words, g_strdup(word->str));
	return words;
}

static void offer_words(struct line *l)
{
	g_autoptr(GPtrArray) args = g_ptr_array_new();
	const struct cli_option *wants = NULL; /* a value, which is the next word */
	bool options = true;

	for (guint i = 1; i + 1 < l->words->len; i++) {
		const char *word = l->words->pdata[i];
		if (wants) {
			wants = NULL;
		} else if (!options || word[0] != '-' || word[1] == '\0') {
			g_ptr_array_add(args, l->words->pdata[i]);
		} else if (strcmp(word, "--") == 0) {
			options = false;
		} else {
			wants = cli_option(l->cmd, word, strlen(word));
			wants = wants && wants->value ? wants : NULL;
		}
	}
	if (!wants && options && l->whole[0] == '-' && strchr(l->whole, '='))
		wants = cli_option(l->cmd, l->whole, strcspn(l->whole, "="));
	if (wants && wants->value) {
		if (l->whole[0] == '-')
			lead_to(l, '=');
		offer_value(l, wants);
	} else if (options && l->whole[0] == '-') {
		offer_options(l);
	} else {
		offer_argument(l, args);
	}
}

/* What precedes lodge in it, such as sudo, is none of ours. */
static void complete(const char *text)
{
	struct line l = { .words = split(text) };

	while (l.words->len > 1 && !g_str_has_suffix(l.words->pdata[0], "lodge"))
		g_ptr_array_remove_index(l.words, 0);
	g_ptr_array_remove_index(l.words, 0);
	if (l.words->len > 0)
		l.whole = l.words->pdata[l.words->len - 1];
	if (l.words->len > 1)
		l.cmd = cli_command(l.words->pdata[0]);
	if (l.words->len == 1)
		offer_commands(&l);
	else if (l.cmd && strcmp(l.cmd->name, "disk") == 0)
		offer_disk(&l);
	else if (l.cmd)
		offer_words(&l);
	g_ptr_array_unref(l.words);
}

/* ---- scripts ---- */

/* It replaces only what is behind = and @ in a word, and counts blanks that are quoted. */
static const char bash_script[] =
	"_lodge()\n"
	"{\n"
	"\tlocal line=${COMP_LINE:0:COMP_POINT} word bare\n"
	"\tlocal -a found\n"
	"\tmapfile -t found < <(lodge completion words -- \"$line\" 2>/dev/null)\n"
	"\tbare=${line//\\\\?/_}\n"
	"\tbare=${bare##*[[:blank:]]}\n"
	"\tCOMPREPLY=()\n"
	"\tfor word in \"${found[@]}\"; do\n"
	"\t\tword=${word%%$'\\t'*}\n"
	"\t\t[[ $word != *= ]] || compopt -o nospace +o filenames 2>/dev/null\n"
	"\t\t[[ $bare != *[=@]* ]] || word=${word#*[=@]}\n"
	"\t\tCOMPREPLY+=(\"$word\")\n"
	"\tdone\n"
	"}\n"
	"complete -o filenames -o default -F _lodge lodge\n";

/* Also as a file _lodge in one of $fpath. */
static const char zsh_script[] =
	"#compdef lodge\n"
	"_lodge()\n"
	"{\n"
	"\tlocal line=\"${(j: :)words[1,CURRENT-1]} $PREFIX\" word\n"
	"\tlocal -a found\n"
	"\tfound=(\"${(f)$(lodge completion words -- \"$line\" 2>/dev/null)}\")\n"
	"\tfound=(${found%%$'\\t'*})\n"
	"\tif (( $#found == 0 )); then\n"
	"\t\t_files\n"
	"\t\treturn\n"
	"\tfi\n"
	"\tcompadd -S '' -- ${(M)found:#*=}\n"
	"\tcompadd -- ${found:#*=}\n"
	"}\n"
	"if [[ ${funcstack[1]} == _lodge ]]; then\n"
	"\t_lodge \"$@\"\n"
	"else\n"
	"\t(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }\n"
	"\tcompdef _lodge lodge\n"
	"fi\n";

static const char fish_script[] =
	"function __lodge\n"
	"\tset -l line (commandline -cp)\n"
	"\tset -l found (lodge completion words -- \"$line\" 2>/dev/null)\n"
	"\tif test (count $found) -gt 0\n"
	"\t\tprintf '%s\\n' $found\n"
	"\telse\n"
	"\t\t__fish_complete_path (commandline -ct)\n"
	"\tend\n"
	"end\n"
	"complete -c lodge -f -a '(__lodge)'\n";

int cmd_completion(struct cli *c, GError **error)
{
	static const struct {
		const char *shell, *script;
	} all[] = { { "bash", bash_script }, { "zsh", zsh_script }, { "fish", fish_script } };
	const char *shell = cli_arg(c, 0);

	if (strcmp(shell, "words") == 0) {
		complete(cli_arg(c, 1) ? cli_arg(c, 1) : "");
		return 0;
	}
	for (guint i = 0; i < G_N_ELEMENTS(all); i++)
		if (strcmp(all[i].shell, shell) == 0) {
			g_print("%s", all[i].script);
			return 0;
		}
	return cli_bad(error, "there is completion for bash, zsh and fish, not for '%s'", shell);
}
