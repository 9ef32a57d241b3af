# DAGs to learn from, installed with the program. Copy a folder before running it: the work files go beside the DAG.
examplesdir = $(pkgdatadir)/examples
dist_examples_DATA = \
	configs/examples/hello.yaml configs/stoker.yaml

examplescounterdir = $(examplesdir)/counter
dist_examplescounter_DATA = \
	configs/examples/counter/counter.yaml \
	configs/examples/counter/count.sh

examplesdigitsdir = $(examplesdir)/digits
dist_examplesdigits_DATA = \
	configs/examples/digits/README.md \
	configs/examples/digits/digits.yaml \
	configs/examples/digits/evaluate.py \
	configs/examples/digits/network.py \
	configs/examples/digits/prepare.py \
	configs/examples/digits/publish.py \
	configs/examples/digits/step.py \
	configs/examples/digits/train.py \
	configs/examples/digits/workers.yaml

# Units for systemd, beside the samples: whoever wants one copies it to where it belongs.
nodist_examples_DATA = configs/stoker.service configs/stoker-user.service
EXTRA_DIST += configs/stoker.service.in configs/stoker-user.service.in
CLEANFILES += $(nodist_examples_DATA)
configs/stoker.service configs/stoker-user.service: %: %.in Makefile
	$(AM_V_GEN)$(MKDIR_P) configs && sed 's#__bindir__#$(bindir)#g' '$(srcdir)/$@.in' > '$@.tmp' && mv -f '$@.tmp' '$@'
