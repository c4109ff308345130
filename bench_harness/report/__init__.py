"""Text made from records; nothing here looks at processes or measures anything."""
