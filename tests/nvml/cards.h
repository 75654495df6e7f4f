/* Where a stand-in of the driver is loaded, it decides what the vGPUs of a card need: sizes, MIG mode, GPU instances.
   FAKE_NVML_CARDS is its directory of cards; the files of a card refuse as its driver would. */
#pragma once

#include "state.h"

#include <stdio.h>

FILE *card_file(const struct state *state, unsigned gpu, const char *name); /* to be read; NULL: no stand-in */
int tell_card(const struct state *state, unsigned gpu, const char *name, const char *what); /* 0 unless it refuses */
void heed_cards(struct state *state); /* its mode is the card's, and the instances are gone that the card has lost */
