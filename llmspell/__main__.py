from llmspell.cli import main

main()
