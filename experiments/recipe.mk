# Every model and result of data/, made from nothing, in the order in which they depend on each other:
#
#   make -f experiments/recipe.mk -j4 models        train; what does not depend on each other at once, on a GPU best under NVIDIA's MPS
#   make -f experiments/recipe.mk results           measure
#
# Run it in the repository. What was trained lies in runs/models, goes on where it was stopped, and is put into data/, or the folder
# COURSE_DATA, when all that it is reported with is there. Any word in capitals can be given: `ORACLE="--steps 100"`. Of notebooks,
# site and lines of data/README.md, CONTRIBUTING.md says what is to be done then.

PY ?= .venv/bin/python
RUNS ?= runs/models
COURSE_DATA ?= data
export COURSE_DATA

FEATURES ?= --steps 320
ORACLE ?= --steps 8000 --batch 512 --seed 0
IDENTITY ?= --steps 4000 --batch 512 --seed 0
VERIFIER ?= --steps 4000 --batch 512 --seed 1
ADVERSARY ?= --steps 1500 --batch 1024 --data-size 120k --seed 1
JUDGE ?= --steps 8000 --batch 512 --seed 1
STYLEGAN2 ?= --preset portraits-64
ABLATION ?= --preset portraits-64-nopl
STYLEGAN ?= --preset portraits-64
PGGAN ?= --preset portraits-64
PARTS ?= --part 4=240k --part 8=640k --part 16=1040k --part 32=1440k --part fading-32=1120k
CLIP ?= --steps 6000 --batch 1024 --data-size 120k --edits 192 --attribute-weight 20
MAPPER ?=
STATISTICS ?= --images 100 --batch 512 --step 12
REPORT ?= --samples 20k
SCOREBOARD ?= --portraits 64
SMOOTHNESS ?= --pairs 1000
STYLES ?=

TRAIN := $(PY) -m course_lib.train
PUBLISH := $(PY) experiments/publish_file.py --data $(COURSE_DATA)
classifier = $(RUNS)/classifiers/$(1)-portraits-64.safetensors
GENERATORS := stylegan2-portraits-64 stylegan2-portraits-64-nopl stylegan-portraits-64 pggan-portraits-64
CLASSIFIERS := $(foreach kind,oracle identity verifier judge,$(call classifier,$(kind)))

# Mappers by their sentence: the levels that each needs, and the preset of those that must keep more.
LEVELS_a-smiling-person := medium
LEVELS_a-frowning-person := medium
LEVELS_a-person-with-an-open-mouth := medium
LEVELS_a-person-with-blonde-hair := medium
LEVELS_a-person-with-short-hair := coarse
LEVELS_a-bald-person := coarse
LEVELS_a-person-with-glasses := coarse medium
LEVELS_a-person-with-long-hair := coarse medium
LEVELS_a-person-with-curly-hair := coarse medium
LEVELS_a-person-wearing-a-hat := coarse medium
LEVELS_a-person-with-a-beard := medium fine
LEVELS_a-person-with-red-hair := medium fine
PRESET_a-person-with-a-beard := portraits-64-strict
PRESET_a-person-with-red-hair := portraits-64-strict
MAPPERS := $(patsubst LEVELS_%,%,$(filter LEVELS_%,$(.VARIABLES)))

.PHONY: models results classifiers generators
.DELETE_ON_ERROR:

models: $(RUNS)/published-edits

# Classifiers and identity networks. The judge learns from what the gradients of others do to portraits, among them a CLIP of its own,
# and is tested with those of the course's features.

$(RUNS)/features/course-features-64.safetensors:
	$(TRAIN) features $(FEATURES) --out $(@D)

$(RUNS)/published-features: $(RUNS)/features/course-features-64.safetensors
	$(PUBLISH) $^
	touch $@

classifiers: $(RUNS)/published-classifiers

$(call classifier,oracle) $(call classifier,identity) $(call classifier,verifier): $(RUNS)/classifiers/%-portraits-64.safetensors:
	$(TRAIN) $* $($(shell echo $* | tr a-z A-Z)) --out $(@D)

$(RUNS)/adversary/clip-portraits.safetensors:
	$(TRAIN) clip $(ADVERSARY) --out $(@D)

$(call classifier,judge): $(call classifier,oracle) $(call classifier,identity) $(RUNS)/adversary/clip-portraits.safetensors \
  | $(RUNS)/published-features
	$(TRAIN) judge $(JUDGE) --against $^ --out $(@D)

$(RUNS)/published-classifiers: $(CLASSIFIERS)
	$(PUBLISH) $^
	touch $@

# Generators, which depend on nothing; their reports on oracle and judge.

generators: $(RUNS)/published-generators

trained = $(TRAIN) $(1) $(2) --out $(@:.trained=) $(if $(wildcard $(@:.trained=)/checkpoints/0*),--resume)

$(RUNS)/stylegan2-portraits-64.trained:
	$(call trained,stylegan2,$(STYLEGAN2))
	touch $@

$(RUNS)/stylegan2-portraits-64-nopl.trained:
	$(call trained,stylegan2,$(ABLATION))
	touch $@

$(RUNS)/stylegan-portraits-64.trained:
	$(call trained,stylegan,$(STYLEGAN))
	touch $@

$(RUNS)/pggan-portraits-64.trained:
	$(call trained,pggan,$(PGGAN))
	touch $@

# One after the other, for all write into models.json.
AFTER_stylegan2-portraits-64 := published-classifiers
AFTER_stylegan2-portraits-64-nopl := stylegan2-portraits-64.published
AFTER_stylegan-portraits-64 := stylegan2-portraits-64-nopl.published
AFTER_pggan-portraits-64 := stylegan-portraits-64.published

.SECONDEXPANSION:
$(GENERATORS:%=$(RUNS)/%.published): $(RUNS)/%.published: $(RUNS)/%.trained $(RUNS)/$$(AFTER_$$*)
	$(PY) experiments/publish.py $(RUNS)/$* $* $(REPORT) --data $(COURSE_DATA) \
	  $(if $(filter stylegan2-portraits-64,$*),,--no-discriminator) $(if $(filter pggan%,$*),$(PARTS))
	touch $@

$(RUNS)/published-generators: $(RUNS)/pggan-portraits-64.published
	touch $@

# What edits by a sentence.

$(RUNS)/clip/clip-portraits.safetensors: $(RUNS)/published-generators
	$(TRAIN) clip $(CLIP) --generator stylegan2-portraits-64 --out $(@D)

$(RUNS)/published-clip: $(RUNS)/clip/clip-portraits.safetensors
	$(PUBLISH) $^
	touch $@

SAVED := $(RUNS)/statistics/statistics-portraits-64.safetensors
MEASURE := -m course_lib.styleclip statistics $(STATISTICS) --out $(SAVED)

$(SAVED): $(RUNS)/published-clip
	$(PY) $(MEASURE)

$(RUNS)/mappers/mapper-%.safetensors: $(RUNS)/published-clip
	$(TRAIN) mapper --preset $(or $(PRESET_$*),portraits-64) --levels $(LEVELS_$*) --prompt '$(subst -, ,$*)' $(MAPPER) --out $(@D)

$(RUNS)/published-edits: $(SAVED) $(MAPPERS:%=$(RUNS)/mappers/mapper-%.safetensors)
	$(PUBLISH) $(SAVED) --command 'python $(MEASURE)'
	$(PUBLISH) $(filter-out $(SAVED),$^)
	touch $@

# Results of the models; comparisons of small networks are experiments/compare.py's.

results: $(RUNS)/published-edits
	$(PY) experiments/scoreboard.py $(SCOREBOARD) --out $(COURSE_DATA)/results/scoreboard.json
	$(PY) experiments/mapper_steps.py --out $(COURSE_DATA)/results/steps-of-mappers.json
	$(PY) experiments/smoothness.py pggan-portraits-64 stylegan-portraits-64 stylegan2-portraits-64 stylegan2-portraits-64-nopl \
	  $(SMOOTHNESS) --out $(COURSE_DATA)/results/smoothness.json
	$(PY) experiments/styles.py stylegan-portraits-64 stylegan2-portraits-64 $(STYLES) --out $(COURSE_DATA)/results/styles.json
	$(PY) experiments/small.py backgrounds --out $(COURSE_DATA)/results/backgrounds.json
	$(PY) experiments/small.py fade --out $(COURSE_DATA)/results/fade.json
