// SPDX-License-Identifier: Apache-2.0
/*
 * What is wrong with text that is no JSON: the first place where it stops to be (RFC 8259), and
 * what people who write configuration by hand do there.
 */
#include <ctype.h>

#include "policy/read.h"

#define DEEP 64

enum want { WANT_VALUE, WANT_KEY, WANT_COLON, WANT_NEXT };

struct syntax {
	const char *at; /* where it stops */
	const char *s;
	const char *comma; /* the last token, if it was one */
	const char *open[DEEP]; /* brackets */
	unsigned int depth;
	enum want want;
};

static int in_object(const struct syntax *x)
{
	return x->depth && *x->open[x->depth - 1] == '{';
}

/* Behind the string at `s`; NULL: it has no end in its line, or an escape that JSON has not. */
static const char *string_end(const char *s, const char **why)
{
	for (s++; *s != '"'; s++) {
		*why = "this string has no closing double quote in its line";
		if (!*s || *s == '\n')
			return NULL;
		if (*s != '\\')
			continue;
		*why = "JSON has not each escape in this string; write \\\\ for a backslash";
		s++;
		if (!*s || !strchr("\"\\/bfnrtu", *s))
			return NULL;
		if (*s == 'u' && strspn(s + 1, "0123456789abcdefABCDEF") < 4)
			return NULL;
	}
	return s + 1;
}

static int is_quote(const char *s)
{
	return *s == '\'' || *s == '`' ||
	       (!strncmp(s, "\xe2\x80", 2) && strchr("\x98\x99\x9a\x9c\x9d\x9e", s[2])) ||
	       !strncmp(s, "\xc2\xab", 2) || !strncmp(s, "\xc2\xbb", 2);
}

/* What stands there instead of what is wanted. */
static const char *instead(const struct syntax *x)
{
	const char *s = x->s;

	if (!strncmp(s, "//", 2) || !strncmp(s, "/*", 2) || *s == '#')
		return "JSON has no comments; take it out (\"why\" is the place for reasons)";
	if (!x->depth && x->want == WANT_VALUE)
		return *s == '<' ? "this is a web page or XML; a policy is JSON, { ... }"
				 : "a policy is JSON and begins with {; this looks like YAML or "
				   "plain text";
	if (is_quote(s))
		return "JSON's quotes are the plain double ones, \"; write these so";
	if (*s == ',' && (x->want != WANT_VALUE || !in_object(x)))
		return "a comma without anything in front of it; take it out";
	if (x->want == WANT_COLON)
		return *s == '=' ? "write : instead of ="
				 : "a key's colon is missing here: \"key\": value";
	if (x->want == WANT_NEXT)
		return x->depth ? "a comma is missing in front of this, or a quote or bracket too "
				  "early"
				: "there is more behind the policy's last }; take it out, or the } "
				  "that is too early";
	if (x->want == WANT_KEY)
		return "a key is wanted here, in double quotes: \"key\": value";
	if (isalpha((unsigned char)*s))
		return "JSON's words are true, false and null, in small letters; any other text "
		       "stands in double quotes";
	return "a value is wanted here: a string in double quotes, a number, true, false, { or [";
}

static int closes(char open, char c)
{
	return open == '{' ? c == '}' : c == ']';
}

/* At a bracket that closes. NULL: it may. */
static const char *close_bracket(struct syntax *x)
{
	if (x->comma && x->depth) {
		x->at = x->comma;
		return "JSON has no comma in front of a closing bracket; take it out";
	}
	if (!x->depth)
		return "this bracket closes none; take it out";
	if (!closes(*x->open[x->depth - 1], *x->s))
		return in_object(x) ? "a } is missing in front of this: a { is open"
				    : "a ] is missing in front of this: a [ is open";
	if (x->want == WANT_COLON || (x->want == WANT_VALUE && in_object(x)))
		return "a key without a value; write \"key\": value";
	x->depth--;
	x->want = WANT_NEXT;
	x->s++;
	return NULL;
}

static const char *open_value(struct syntax *x)
{
	const char *end, *why;
	size_t n;

	if (*x->s == '{' || *x->s == '[') {
		if (x->depth == DEEP)
			return "brackets are nested too deep; no policy is";
		x->open[x->depth++] = x->s;
		x->want = *x->s++ == '{' ? WANT_KEY : WANT_VALUE;
		return NULL;
	}
	x->want = WANT_NEXT;
	if (*x->s == '"') {
		end = string_end(x->s, &why);
		x->s = end ? end : x->s;
		return end ? NULL : why;
	}
	n = strcspn(x->s, ",]} \t\r\n");
	if ((n == 4 && (!strncmp(x->s, "true", 4) || !strncmp(x->s, "null", 4))) ||
	    (n == 5 && !strncmp(x->s, "false", 5)) ||
	    (n && strspn(x->s, "0123456789+-.eE") >= n &&
	     (isdigit((unsigned char)*x->s) || (*x->s == '-' && n > 1)))) {
		x->s += n;
		return NULL;
	}
	x->want = WANT_VALUE;
	return instead(x);
}

/* One token. NULL: it stands where it may. */
static const char *token(struct syntax *x)
{
	const char *comma = x->comma, *end, *why = NULL;

	x->at = x->s;
	if (strchr("]}", *x->s))
		return close_bracket(x);
	x->comma = NULL;
	if (x->want == WANT_VALUE)
		return *x->s == ',' && comma ? "two commas; take one out" : open_value(x);
	if (x->want == WANT_KEY && *x->s == '"') {
		end = string_end(x->s, &why);
		x->s = end ? end : x->s;
		x->want = WANT_COLON;
		return end ? NULL : why;
	}
	if (x->want == WANT_COLON && *x->s == ':') {
		x->want = WANT_VALUE;
		x->s++;
		return NULL;
	}
	if (x->want == WANT_NEXT && *x->s == ',' && x->depth) {
		x->want = in_object(x) ? WANT_KEY : WANT_VALUE;
		x->comma = x->s++;
		return NULL;
	}
	return instead(x);
}

int fence_read_syntax(struct reader *r, const char *text, const char *end)
{
	struct syntax x = { .s = strncmp(text, "\xef\xbb\xbf", 3) ? text : text + 3 };
	struct fence_diag open = { 0 }, d = { 0 };
	const char *why = NULL;

	while (!why) {
		while (*x.s && (unsigned char)*x.s <= ' ')
			x.s++;
		if (!*x.s)
			break;
		why = token(&x);
	}
	if (!why && x.want == WANT_VALUE && !x.depth)
		return REFUSE(
			r, NULL,
			"is empty; a policy begins with { \"crmfence\": 1, ...: copy an example, "
			"such as /etc/crmfence/policy.json.example");
	if (!why && x.depth) {
		fence_read_line(text, x.open[x.depth - 1], &open);
		fence_diag_set(&d, 0, NULL,
			       "the file ends here, and the %c of line %u, column %u is open: %u "
			       "closing %s missing",
			       *x.open[x.depth - 1], open.line, open.column, x.depth,
			       x.depth > 1 ? "brackets are" : "bracket is");
		fence_read_line(text, x.s, &d);
		return fence_read_tell(r, &d);
	}
	x.at = why ? x.at : end; /* cJSON knows better */
	fence_diag_set(&d, 0, NULL, "%s", why ? why : "not JSON from here on");
	fence_read_line(text, x.at, &d);
	fence_read_value(x.at, 0, d.value);
	return fence_read_tell(r, &d);
}
