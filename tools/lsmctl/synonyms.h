// synonyms.h -- commands by the names that other tools give them.

#ifndef LSM_TOOLS_SYNONYMS_H
#define LSM_TOOLS_SYNONYMS_H

// What does here what `typed` is called elsewhere, as a sentence's end: "`lsmctl del DB KEY`
// deletes a key". NULL when the word is not known; static.
const char *synonym_find(const char *typed);

#endif
