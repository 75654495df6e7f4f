#include "boards.h"

#include <stddef.h>
#include <string.h>

#define EVERY 0x7f /* 0-6 */
#define EVEN4 0x55 /* 0, 2, 4, 6 */
#define EVEN3 0x15 /* 0, 2, 4 */
#define HALVES 0x11 /* 0, 4 */
#define QUARTERS 0x249 /* 0, 3, 6, 9 */
#define FIRST 0x01

/*  index id  name          slices most memory sms copy dec jpeg ofa starts size */
static const struct profile A30[] = {
    {0, 14, "MIG 1g.6gb", 1, 4, 5952, 14, 1, 1, 0, 0, 0x0f, 1},
    {7, 21, "MIG 1g.6gb+me", 1, 1, 5952, 14, 1, 1, 1, 1, 0x0f, 1},
    {1, 5, "MIG 2g.12gb", 2, 2, 11968, 28, 2, 2, 0, 0, 0x05, 2},
    {8, 6, "MIG 2g.12gb+me", 2, 1, 11968, 28, 2, 2, 1, 1, 0x05, 2},
    {3, 0, "MIG 4g.24gb", 4, 1, 24000, 56, 4, 4, 1, 1, FIRST, 4},
};
static const struct profile A100_40[] = {
    {0, 19, "MIG 1g.5gb", 1, 7, 4864, 14, 1, 0, 0, 0, EVERY, 1},
    {7, 20, "MIG 1g.5gb+me", 1, 1, 4864, 14, 1, 1, 1, 1, EVERY, 1},
    {9, 15, "MIG 1g.10gb", 1, 4, 9856, 14, 1, 1, 0, 0, EVEN4, 2},
    {1, 14, "MIG 2g.10gb", 2, 3, 9856, 28, 2, 1, 0, 0, EVEN3, 2},
    {2, 9, "MIG 3g.20gb", 3, 2, 19968, 42, 3, 2, 0, 0, HALVES, 4},
    {3, 5, "MIG 4g.20gb", 4, 1, 19968, 56, 4, 2, 0, 0, FIRST, 4},
    {4, 0, "MIG 7g.40gb", 7, 1, 40192, 98, 7, 5, 1, 1, FIRST, 8},
};
static const struct profile A100_80[] = {
    {0, 19, "MIG 1g.10gb", 1, 7, 9728, 14, 1, 0, 0, 0, EVERY, 1},
    {7, 20, "MIG 1g.10gb+me", 1, 1, 9728, 14, 1, 1, 1, 1, EVERY, 1},
    {9, 15, "MIG 1g.20gb", 1, 4, 19968, 14, 1, 1, 0, 0, EVEN4, 2},
    {1, 14, "MIG 2g.20gb", 2, 3, 19968, 28, 2, 1, 0, 0, EVEN3, 2},
    {2, 9, "MIG 3g.40gb", 3, 2, 40192, 42, 3, 2, 0, 0, HALVES, 4},
    {3, 5, "MIG 4g.40gb", 4, 1, 40192, 56, 4, 2, 0, 0, FIRST, 4},
    {4, 0, "MIG 7g.80gb", 7, 1, 80896, 98, 7, 5, 1, 1, FIRST, 8},
};
static const struct profile H100_80[] = {
    {0, 19, "MIG 1g.10gb", 1, 7, 9984, 16, 1, 1, 1, 0, EVERY, 1},
    {7, 20, "MIG 1g.10gb+me", 1, 1, 9984, 16, 1, 1, 1, 1, EVERY, 1},
    {9, 15, "MIG 1g.20gb", 1, 4, 20096, 26, 1, 1, 1, 0, EVEN4, 2},
    {1, 14, "MIG 2g.20gb", 2, 3, 20096, 32, 2, 2, 2, 0, EVEN3, 2},
    {2, 9, "MIG 3g.40gb", 3, 2, 40448, 60, 3, 3, 3, 0, HALVES, 4},
    {3, 5, "MIG 4g.40gb", 4, 1, 40448, 64, 4, 4, 4, 0, FIRST, 4},
    {4, 0, "MIG 7g.80gb", 7, 1, 81152, 132, 8, 7, 7, 1, FIRST, 8},
};
static const struct profile H200[] = {
    {0, 19, "MIG 1g.18gb", 1, 7, 16384, 16, 1, 1, 1, 0, EVERY, 1},
    {7, 20, "MIG 1g.18gb+me", 1, 1, 16384, 16, 1, 1, 1, 1, EVERY, 1},
    {9, 15, "MIG 1g.35gb", 1, 4, 33280, 26, 1, 1, 1, 0, EVEN4, 2},
    {1, 14, "MIG 2g.35gb", 2, 3, 33280, 32, 2, 2, 2, 0, EVEN3, 2},
    {2, 9, "MIG 3g.71gb", 3, 2, 71424, 60, 3, 3, 3, 0, HALVES, 4},
    {3, 5, "MIG 4g.71gb", 4, 1, 71424, 64, 4, 4, 4, 0, FIRST, 4},
    {4, 0, "MIG 7g.141gb", 7, 1, 143360, 132, 8, 7, 7, 1, FIRST, 8},
};

static const struct profile RTX_PRO_6000[] = {
    {0x0, 14, "MIG 1g.24gb", 1, 4, 24187, 46, 1, 1, 1, 0, QUARTERS, 3},
    {0x7, 21, "MIG 1g.24gb+me", 1, 1, 24187, 46, 1, 1, 1, 1, QUARTERS, 3},
    {0xa, 47, "MIG 1g.24gb+gfx", 1, 4, 24187, 46, 1, 1, 1, 0, QUARTERS, 3},
    {0xf, 65, "MIG 1g.24gb+me.all", 1, 1, 24187, 46, 1, 4, 4, 1, QUARTERS, 3},
    {0xd, 67, "MIG 1g.24gb-me", 1, 4, 24187, 46, 1, 0, 0, 0, QUARTERS, 3},
    {0x1, 5, "MIG 2g.48gb", 2, 2, 48517, 94, 2, 2, 2, 0, 0x41, 6},
    {0xb, 35, "MIG 2g.48gb+gfx", 2, 2, 48517, 94, 2, 2, 2, 0, 0x41, 6},
    {0x10, 64, "MIG 2g.48gb+me.all", 2, 1, 48517, 94, 2, 4, 4, 1, 0x41, 6},
    {0xe, 66, "MIG 2g.48gb-me", 2, 2, 48517, 94, 2, 0, 0, 0, 0x41, 6},
    {0x3, 0, "MIG 4g.96gb", 4, 1, 97280, 188, 4, 4, 4, 1, FIRST, 12},
    {0xc, 32, "MIG 4g.96gb+gfx", 4, 1, 97280, 188, 4, 4, 4, 1, FIRST, 12},
};

#define PROFILES(table) sizeof(table) / sizeof(*table), table
static const struct board BOARDS[] = {
    {"T4", "Tesla T4", BEFORE_MIG, 0x1eb8, 15360, 0, 0, NULL, 0},
    {"A30", "NVIDIA A30", AMPERE, 0x20b7, 24576, 4, PROFILES(A30), 14},
    {"A100-40", "NVIDIA A100-SXM4-40GB", AMPERE, 0x20b0, 40960, 7, PROFILES(A100_40), 14},
    {"A100-80", "NVIDIA A100-SXM4-80GB", AMPERE, 0x20b2, 81920, 7, PROFILES(A100_80), 14},
    {"H100-80", "NVIDIA H100 80GB HBM3", HOPPER, 0x2330, 81559, 7, PROFILES(H100_80), 16},
    {"RTX-PRO-6000", "NVIDIA RTX PRO 6000 Blackwell Server Edition", BLACKWELL, 0x2bb5, 97887, 4,
     PROFILES(RTX_PRO_6000), 46},
    {"H200", "NVIDIA H200", HOPPER, 0x2335, 143771, 7, PROFILES(H200), 16},
};

const struct board *find_board(const char *key)
{
    for (size_t n = 0; n < sizeof(BOARDS) / sizeof(*BOARDS); n++)
        if (!strcmp(BOARDS[n].key, key))
            return &BOARDS[n];
    return NULL;
}

const struct profile *find_profile(const struct board *board, unsigned id)
{
    for (unsigned n = 0; n < board->profiles; n++)
        if (board->profile[n].id == id)
            return &board->profile[n];
    return NULL;
}
