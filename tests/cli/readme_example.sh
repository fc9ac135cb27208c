#!/bin/sh
# Prints the C program of the README: readme_example.sh SOURCE_DIRECTORY
sed -n '/^```c$/,/^```$/{/^```/d;p}' "$1/README.md"
