"""Makes your own copy of the lessons in learn/, which git ignores: without outputs, so that you predict before you see.
A copy that exists is never touched; where its lesson has changed since, that is said.

    python notebooks/learn.py
"""
import sys

from course_lib.notebook_copies import copy_missing, outdated


def main():
    try:
        added, old = copy_missing(), outdated()
    except OSError as error:
        sys.exit(f"The lessons could not be copied: {error}")
    print("Added to learn/: " + ", ".join(added) if added else "learn/ holds every lesson; nothing was changed.")
    if old:
        print("Changed since your copy was made: " + ", ".join(old) + ". Your copies stay as they are.")
    print("To get a lesson anew, rename or delete its notebook in learn/ and run this again.")


if __name__ == "__main__":
    main()
