# make bench: how fast, beside what the machine can do at best. Not part of make check: it takes minutes.
EXTRA_PROGRAMS = tests/bench/bound
tests_bench_bound_SOURCES = tests/bench/bound.c
tests_bench_bound_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS) $(MHD_CFLAGS)
tests_bench_bound_LDADD = $(SQLITE_LIBS) $(MHD_LIBS)
CLEANFILES += tests/bench/bound
EXTRA_DIST += tests/bench/bench.py tests/bench/fill.py

.PHONY: bench
bench: all tests/bench/bound
	STOKER_BUILD='$(abs_top_builddir)' STOKER_SOURCE='$(abs_top_srcdir)' \
	$(PYTHON3) $(srcdir)/tests/bench/bench.py $(BENCHFLAGS)
